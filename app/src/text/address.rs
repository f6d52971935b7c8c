//! Addresses as people type and paste them.

use types::{Address, EmailAddress};

/// Reads `a@b.c`, `Name <a@b.c>` and lists of them, apart by commas, semicolons or lines. What is none is given back.
pub(crate) fn addresses(text: &str) -> (Vec<Address>, String) {
    let mut found = Vec::new();
    let mut rest = Vec::new();
    for part in split(text) {
        match address(&part) {
            Some(address) => found.push(address),
            None => rest.push(part),
        }
    }
    (found, rest.join(", "))
}

fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        quoted ^= c == '"';
        if !quoted && matches!(c, ',' | ';' | '\n' | '\r' | '\t') {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn address(text: &str) -> Option<Address> {
    if let Some((name, email)) = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        let email = email.trim().parse::<EmailAddress>().ok()?;
        let name = name.trim().trim_matches('"').trim().to_owned();
        return Some(Address { name, email: email.to_string() });
    }
    let email = text.parse::<EmailAddress>().ok()?;
    Some(Address { name: String::new(), email: email.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_lists_become_addresses() {
        let (found, rest) =
            addresses("bob@demo.test; \"Doe, Jane\" <jane@x.y>,\n김민수 <민수@메일.한국>, oops");
        let shown: Vec<_> = found.iter().map(|a| (a.name.as_str(), a.email.as_str())).collect();
        assert_eq!(shown, [("", "bob@demo.test"), ("Doe, Jane", "jane@x.y"), ("김민수", "민수@메일.한국")]);
        assert_eq!(rest, "oops");
        assert_eq!(addresses(" , "), (vec![], String::new()));
    }
}
