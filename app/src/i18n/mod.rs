//! Every text that the reader sees, in English and Korean side by side.

mod texts;

use leptos::prelude::{expect_context, use_context};

pub(crate) use texts::Texts;

/// A language of the webmail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    #[default]
    En,
    Ko,
}

impl Lang {
    pub(crate) const ALL: [Self; 2] = [Self::En, Self::Ko];

    /// As in `<html lang>`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Ko => "ko",
        }
    }

    /// What the language calls itself.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::Ko => "한국어",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lang| lang.name() == name)
    }

    /// The language that is wanted most of those there are (RFC 9110 §12.5.4).
    pub(crate) fn from_accept_language(header: &str) -> Self {
        let wanted = header.split(',').filter_map(|part| {
            let (tag, weight) = part.split_once(';').unwrap_or((part, ""));
            let lang = Self::from_name(tag.trim().split('-').next().unwrap_or_default())?;
            let weight = weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
            Some((lang, weight))
        });
        wanted
            .fold(None, |best: Option<(Self, f32)>, next| match best {
                Some(best) if best.1 >= next.1 => Some(best),
                _ => Some(next),
            })
            .map_or(Self::En, |(lang, _)| lang)
    }

    pub(crate) fn texts(self) -> &'static Texts {
        match self {
            Self::En => &texts::EN,
            Self::Ko => &texts::KO,
        }
    }
}

/// The texts in the reader's language.
pub(crate) fn texts() -> &'static Texts {
    use_context::<&'static Texts>().unwrap_or_else(|| expect_context::<crate::Preferences>().lang.texts())
}
