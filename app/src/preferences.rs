//! How the reader wants the page: language, theme, density, width of the list. Kept in cookies, so that the server
//! renders it right at once.

use crate::{browser, i18n::Lang};

/// Light, dark, or as the system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    #[default]
    Auto,
    Light,
    Dark,
}

impl Theme {
    pub(crate) const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// How high a line of the list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Density {
    #[default]
    Comfortable,
    Compact,
}

impl Density {
    pub(crate) const ALL: [Self; 2] = [Self::Comfortable, Self::Compact];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Comfortable => "comfortable",
            Self::Compact => "compact",
        }
    }
}

/// The narrowest and the widest list, and the step between two widths, in pixels.
pub(crate) const LIST_WIDTHS: (u16, u16, u16) = (320, 560, 20);

/// For how many seconds sending can be undone.
pub(crate) const UNDO_SECONDS: [u16; 4] = [0, 5, 10, 30];

/// What the reader chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preferences {
    pub lang: Lang,
    pub theme: Theme,
    pub density: Density,
    /// Width of the message list on a wide screen, in pixels.
    pub list_width: u16,
    /// For how many seconds sending can be undone; 0: not at all.
    pub undo_seconds: u16,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            lang: Lang::En,
            theme: Theme::Auto,
            density: Density::Comfortable,
            list_width: 400,
            undo_seconds: 0,
        }
    }
}

impl Preferences {
    /// From the headers `Cookie` and `Accept-Language` of a request.
    #[must_use]
    pub fn from_headers(cookie: Option<&str>, accept_language: Option<&str>) -> Self {
        let cookie = cookie.unwrap_or_default();
        let value = |name: &str| {
            cookie
                .split(';')
                .filter_map(|pair| pair.trim().split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        let lang = value("lang")
            .and_then(Lang::from_name)
            .or_else(|| accept_language.map(Lang::from_accept_language))
            .unwrap_or_default();
        Self::from_names(lang, value)
    }

    /// From the attributes of `<html>`, where the server wrote them.
    pub(crate) fn from_document() -> Self {
        let lang = browser::root("lang").as_deref().and_then(Lang::from_name).unwrap_or_default();
        let kept =
            ["theme", "density", "list", "undo"].map(|name| (name, browser::root(&format!("data-{name}"))));
        Self::from_names(lang, |name| {
            kept.iter().find(|(known, _)| *known == name).and_then(|(_, value)| value.as_deref())
        })
    }

    fn from_names<'a>(lang: Lang, value: impl Fn(&str) -> Option<&'a str>) -> Self {
        let default = Self::default();
        let number = |name| value(name).and_then(|text| text.parse::<u16>().ok());
        let (theme, density) = (value("theme"), value("density"));
        Self {
            lang,
            theme: Theme::ALL.into_iter().find(|known| Some(known.name()) == theme).unwrap_or_default(),
            density: Density::ALL.into_iter().find(|known| Some(known.name()) == density).unwrap_or_default(),
            list_width: number("list").map_or(default.list_width, list_width),
            undo_seconds: number("undo").filter(|n| UNDO_SECONDS.contains(n)).unwrap_or_default(),
        }
    }
}

/// The nearest width that the style sheet knows.
pub(crate) fn list_width(pixels: u16) -> u16 {
    let (narrowest, widest, step) = LIST_WIDTHS;
    let pixels = pixels.clamp(narrowest, widest);
    (pixels + step / 2) / step * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_win_over_the_browser_language() {
        let cases = [
            (None, None, Lang::En, Theme::Auto, 400),
            (None, Some("ko-KR,ko;q=0.9,en;q=0.8"), Lang::Ko, Theme::Auto, 400),
            (None, Some("fr, en;q=0.5, ko;q=0.4"), Lang::En, Theme::Auto, 400),
            (Some("a=b; lang=en; theme=dark; list=433"), Some("ko"), Lang::En, Theme::Dark, 440),
            (Some("lang=xx; theme=pink; list=9999"), Some("ko"), Lang::Ko, Theme::Auto, 560),
        ];
        for (cookie, accept, lang, theme, width) in cases {
            let found = Preferences::from_headers(cookie, accept);
            assert_eq!(
                (found.lang, found.theme, found.list_width),
                (lang, theme, width),
                "{cookie:?} {accept:?}"
            );
        }
    }
}
