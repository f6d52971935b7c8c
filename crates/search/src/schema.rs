//! The index's fields, and what of a message goes into them.
//!
//! Every indexed word begins with its account. So the index of an account is a stretch of the term dictionary of its
//! own: no query reads what belongs to another account, and the cost of one does not grow with their number.

use std::ops::Bound;

use tantivy::{
    TantivyDocument, Term,
    query::{
        BooleanQuery, InvertedIndexRangeQuery, Occur, PhraseQuery, Query as IndexQuery, RegexPhraseQuery,
        TermQuery, wildcard_query_to_regex_str,
    },
    schema::{
        FAST, Field as IndexField, INDEXED, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing,
        TextOptions,
    },
};
use types::{AccountId, MessageId, query::Field};

use crate::{
    Document,
    excluded::Excluded,
    newest::{ID_HIGH, ID_LOW},
    relax::{Terms, Text},
    tokenizer::{self, term},
    words::Wanted,
};

/// To be raised whenever [`Fields`], the rules of `words` or what of a mail is given to them change: older indexes are
/// then built anew.
pub(crate) const VERSION: &str = "4\n";

/// The fields of the index.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    pub(crate) schema: Schema,
    account: IndexField,
    /// Account and id, by which a message is replaced.
    key: IndexField,
    high: IndexField,
    low: IndexField,
    from: IndexField,
    to: IndexField,
    subject: IndexField,
    body: IndexField,
    filenames: IndexField,
}

impl Fields {
    pub(crate) fn new() -> Self {
        let words = TextFieldIndexing::default()
            .set_tokenizer(tokenizer::NAME)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions)
            .set_fieldnorms(false);
        let text = TextOptions::default().set_indexing_options(words);
        let mut schema = Schema::builder();
        let number = NumericOptions::from(FAST);
        Self {
            account: schema.add_i64_field("account", INDEXED),
            key: schema.add_bytes_field("key", INDEXED),
            high: schema.add_u64_field(ID_HIGH, number.clone()),
            low: schema.add_u64_field(ID_LOW, number),
            from: schema.add_text_field("from", text.clone()),
            to: schema.add_text_field("to", text.clone()),
            subject: schema.add_text_field("subject", text.clone()),
            body: schema.add_text_field("body", text.clone()),
            filenames: schema.add_text_field("filenames", text),
            schema: schema.build(),
        }
    }

    /// What all documents of the account have.
    pub(crate) fn account(&self, account: AccountId) -> Term {
        Term::from_field_i64(self.account, account.0)
    }

    /// What only this message's document has.
    pub(crate) fn key(&self, account: AccountId, id: MessageId) -> Term {
        Term::from_field_bytes(self.key, &key(account, id))
    }

    pub(crate) fn document(&self, account: AccountId, id: MessageId, document: &Document) -> TantivyDocument {
        let id_bits = id.0.as_u128();
        let mut out = TantivyDocument::new();
        out.add_i64(self.account, account.0);
        out.add_bytes(self.key, &key(account, id));
        out.add_u64(self.high, u64::try_from(id_bits >> 64).unwrap_or(u64::MAX));
        out.add_u64(self.low, u64::try_from(id_bits & u128::from(u64::MAX)).unwrap_or(u64::MAX));
        let filenames = document.filenames.join("\n");
        for (field, text) in [
            (self.from, &document.from),
            (self.to, &document.to),
            (self.subject, &document.subject),
            (self.body, &document.body),
            (self.filenames, &filenames),
        ] {
            if !text.is_empty() {
                out.add_text(field, tokenizer::of_account(account, text));
            }
        }
        out
    }
}

fn key(account: AccountId, id: MessageId) -> Vec<u8> {
    let mut key = account.0.to_be_bytes().to_vec();
    key.extend_from_slice(id.0.as_bytes());
    key
}

/// The queries of one account.
pub(crate) struct AccountTerms<'f> {
    pub(crate) fields: &'f Fields,
    pub(crate) account: AccountId,
}

impl Terms for AccountTerms<'_> {
    type Query = Box<dyn IndexQuery>;

    fn text(&self, field: Field, words: &[Wanted]) -> Text<Box<dyn IndexQuery>> {
        Text::Exact(self.words(field, words))
    }

    fn everything(&self) -> Box<dyn IndexQuery> {
        Box::new(TermQuery::new(self.fields.account(self.account), IndexRecordOption::Basic))
    }

    fn and(&self, all: Vec<Box<dyn IndexQuery>>, none: Vec<Box<dyn IndexQuery>>) -> Box<dyn IndexQuery> {
        let all = all.into_iter().map(|one| (Occur::Must, one));
        let none =
            none.into_iter().map(|one| (Occur::MustNot, Box::new(Excluded(one)) as Box<dyn IndexQuery>));
        Box::new(BooleanQuery::new(all.chain(none).collect()))
    }

    fn or(&self, any: Vec<Box<dyn IndexQuery>>) -> Box<dyn IndexQuery> {
        Box::new(BooleanQuery::new(any.into_iter().map(|one| (Occur::Should, one)).collect()))
    }
}

impl AccountTerms<'_> {
    /// Messages with these words in this field.
    pub(crate) fn words(&self, field: Field, words: &[Wanted]) -> Box<dyn IndexQuery> {
        let fields = self.fields;
        let one = match field {
            Field::Any => {
                let all = [fields.from, fields.to, fields.subject, fields.body, fields.filenames];
                let any = all.map(|field| (Occur::Should, self.phrase(field, words)));
                return Box::new(BooleanQuery::new(any.into()));
            }
            Field::From => fields.from,
            Field::To => fields.to,
            Field::Subject => fields.subject,
            Field::Body => fields.body,
            Field::Filename => fields.filenames,
        };
        self.phrase(one, words)
    }

    fn phrase(&self, field: IndexField, words: &[Wanted]) -> Box<dyn IndexQuery> {
        let text = |wanted: &Wanted| term(self.account, &wanted.word);
        match words {
            [one] if one.prefix => {
                let from = text(one);
                let to = format!("{from}{}", char::MAX);
                Box::new(InvertedIndexRangeQuery::new(
                    Bound::Included(Term::from_field_text(field, &from)),
                    Bound::Excluded(Term::from_field_text(field, &to)),
                ))
            }
            [one] => {
                Box::new(TermQuery::new(Term::from_field_text(field, &text(one)), IndexRecordOption::Basic))
            }
            _ if words.iter().any(|one| one.prefix) => {
                let pattern = |one: &Wanted| {
                    wildcard_query_to_regex_str(&format!(
                        "{}{}",
                        text(one),
                        if one.prefix { "*" } else { "" }
                    ))
                };
                let patterns = words.iter().map(|one| (one.offset, pattern(one))).collect();
                let mut query = RegexPhraseQuery::new_with_offset(field, patterns);
                query.set_max_expansions(u32::MAX);
                Box::new(query)
            }
            _ => {
                let terms = words.iter().map(|one| (one.offset, Term::from_field_text(field, &text(one))));
                Box::new(PhraseQuery::new_with_offset(terms.collect()))
            }
        }
    }
}
