//! Hands the words of a text to Tantivy, each with its account before it.
//!
//! A tokenizer is given nothing but the text, so the account is the text's first line. (Tokens that are made beforehand
//! would be stored as JSON on their way into the index, more than a tenth of the server's CPU time.)

use tantivy::tokenizer::{TextAnalyzer, Token, TokenStream, Tokenizer};
use types::AccountId;

use crate::words;

/// What the tokenizer is registered as.
pub(crate) const NAME: &str = "words-of-account";

/// The tokenizer.
pub(crate) fn analyzer() -> TextAnalyzer {
    TextAnalyzer::from(WordsOfAccount)
}

/// The text as the tokenizer wants it.
pub(crate) fn of_account(account: AccountId, text: &str) -> String {
    format!("{:x}:\n{text}", account.0)
}

/// The word as it stands in the index.
pub(crate) fn term(account: AccountId, word: &str) -> String {
    format!("{:x}:{word}", account.0)
}

#[derive(Clone)]
struct WordsOfAccount;

impl Tokenizer for WordsOfAccount {
    type TokenStream<'a> = Words<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Words<'a> {
        let (prefix, text) = text.split_once('\n').unwrap_or_default();
        Words { prefix, words: words::Words::new(text), token: Token::default() }
    }
}

struct Words<'a> {
    prefix: &'a str,
    words: words::Words<'a>,
    token: Token,
}

impl TokenStream for Words<'_> {
    fn advance(&mut self) -> bool {
        self.token.text.clear();
        self.token.text.push_str(self.prefix);
        let Some(place) = self.words.next_into(&mut self.token.text) else { return false };
        (self.token.offset_from, self.token.offset_to) = (place.range.start, place.range.end);
        self.token.position = place.position;
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}
