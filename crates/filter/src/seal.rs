//! ARC seals of our own (RFC 8617 §5.1) on mail that is passed on, so that the next server can know what we saw.

use types::Timestamp;

use crate::keys::Unusable;
use crate::mail::split;
use crate::results::{fields, is_named, without_comments};
use crate::sign::{Signable, SigningKey, signed, unsigned_form};

/// RFC 8617 §4.2.1.
const MAX_SETS: u32 = 50;

/// One set of a chain, its fields as they are in the mail.
#[derive(Default)]
struct Set<'a> {
    results: Option<&'a [u8]>,
    signature: Option<&'a [u8]>,
    seal: Option<&'a [u8]>,
}

/// The three fields of a new set to put before the mail; none if there is nothing to vouch for: no results of ours on
/// top of it, or a chain that did not hold when it came.
pub fn seal(
    mail: &[u8],
    key: &SigningKey,
    hostname: &str,
    now: Timestamp,
) -> Result<Option<String>, Unusable> {
    let Some(results) = own_results(mail, hostname) else { return Ok(None) };
    let Some(sets) = sets(mail) else { return Ok(None) };
    let held = without_comments(&results).split(';').any(|info| info.trim_start().starts_with("arc=pass"));
    let instance = u32::try_from(sets.len()).unwrap_or(MAX_SETS).saturating_add(1);
    if instance > MAX_SETS || !sets.is_empty() && !held {
        return Ok(None);
    }
    let (algorithm, domain, selector, at) = (key.name(), &key.domain, &key.selector, now.seconds());
    let authentication = format!("ARC-Authentication-Results: i={instance}; {}\r\n", results.trim());

    let signable = Signable::new(mail);
    let (names, mut text) = signable.fields();
    let unsigned = format!(
        "ARC-Message-Signature: i={instance}; a={algorithm}; c=relaxed/relaxed; d={domain};\r\n\ts={selector}; \
         t={at};\r\n\th={names};\r\n\tbh={};\r\n\tb=",
        signable.body_hash,
    );
    unsigned_form(&unsigned, &mut text);
    let message = signed(unsigned, &key.sign(&text)?);

    // §5.1.1: the sets in order, each with results, signature and seal.
    let mut text = Vec::new();
    for set in &sets {
        for field in [set.results, set.signature, set.seal].into_iter().flatten() {
            crate::canonical::field(field, &mut text);
        }
    }
    crate::canonical::field(authentication.as_bytes(), &mut text);
    crate::canonical::field(message.as_bytes(), &mut text);
    let chain = if sets.is_empty() { "none" } else { "pass" };
    let unsigned = format!(
        "ARC-Seal: i={instance}; a={algorithm}; t={at}; cv={chain};\r\n\td={domain}; s={selector};\r\n\tb="
    );
    unsigned_form(&unsigned, &mut text);
    let seal = signed(unsigned, &key.sign(&text)?);
    Ok(Some(format!("{seal}{message}{authentication}")))
}

/// What we wrote on top of the mail when it came: nobody else writes above our own `Received`.
#[must_use]
pub fn own_results(mail: &[u8], hostname: &str) -> Option<String> {
    let (header, _) = split(mail);
    let on_top = fields(header).into_iter().filter_map(|range| header.get(range));
    let mut on_top = on_top.take_while(|field| !is_named(field, "Received"));
    let ours = on_top.find(|field| is_named(field, "Authentication-Results"))?;
    let value = String::from_utf8_lossy(ours).split_once(':')?.1.to_owned();
    value.trim_start().starts_with(&format!("{hostname};")).then_some(value)
}

/// Whether every author of the mail was proven to be who it says.
#[must_use]
pub fn has_passed_dmarc(results: &str) -> bool {
    let plain = without_comments(results);
    let mut verdicts =
        plain.split(';').map(str::trim_start).filter_map(|info| info.strip_prefix("dmarc=")).peekable();
    verdicts.peek().is_some()
        && verdicts.all(|verdict| verdict.split_ascii_whitespace().next() == Some("pass"))
}

/// The sets of the chain in order; `None` if one is not whole.
fn sets(mail: &[u8]) -> Option<Vec<Set<'_>>> {
    let (header, _) = split(mail);
    let mut sets: Vec<Set<'_>> = Vec::new();
    for field in fields(header).into_iter().filter_map(|range| header.get(range)) {
        let kind = ["ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"]
            .into_iter()
            .position(|name| is_named(field, name));
        let Some(kind) = kind else { continue };
        let index = usize::try_from(instance(field)?.checked_sub(1)?).ok()?;
        while sets.len() <= index {
            sets.push(Set::default());
        }
        let set = sets.get_mut(index)?;
        let place = match kind {
            0 => &mut set.results,
            1 => &mut set.signature,
            _ => &mut set.seal,
        };
        if place.replace(field).is_some() {
            return None;
        }
    }
    let is_whole = |set: &Set<'_>| set.results.is_some() && set.signature.is_some() && set.seal.is_some();
    sets.iter().all(is_whole).then_some(sets)
}

/// The `i=` of a field.
fn instance(field: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(field);
    let (_, value) = text.split_once(':')?;
    let value = value.split(';').find_map(|tag| {
        let (name, value) = tag.split_once('=')?;
        (name.trim() == "i").then(|| value.trim().to_owned())
    })?;
    value.parse().ok().filter(|instance| *instance <= MAX_SETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_author_has_to_be_proven() {
        let check = |results: &str, wanted| assert_eq!(has_passed_dmarc(results), wanted, "{results}");
        check("mx.test; spf=pass; dmarc=pass header.from=a.test", true);
        check("mx.test; dmarc=pass header.from=a.test;\r\n\tdmarc=fail header.from=b.test", false);
        check("mx.test; dmarc=none", false);
        check("mx.test; spf=pass; dkim=pass", false);
        check("mx.test; spf=fail reason=\"; dmarc=pass\"", false);
        check("mx.test; none", false);
    }
}
