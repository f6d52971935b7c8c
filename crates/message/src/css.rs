//! Style attributes, let through property by property: what colours and measures, never what loads or moves.

/// Properties whose values are let through if [`is_safe_value`].
const PROPERTIES: [&str; 92] = [
    "background",
    "background-color",
    "border",
    "border-bottom",
    "border-bottom-color",
    "border-bottom-left-radius",
    "border-bottom-right-radius",
    "border-bottom-style",
    "border-bottom-width",
    "border-collapse",
    "border-color",
    "border-left",
    "border-left-color",
    "border-left-style",
    "border-left-width",
    "border-radius",
    "border-right",
    "border-right-color",
    "border-right-style",
    "border-right-width",
    "border-spacing",
    "border-style",
    "border-top",
    "border-top-color",
    "border-top-left-radius",
    "border-top-right-radius",
    "border-top-style",
    "border-top-width",
    "border-width",
    "box-shadow",
    "box-sizing",
    "caption-side",
    "clear",
    "color",
    "direction",
    "display",
    "empty-cells",
    "flex",
    "flex-direction",
    "flex-wrap",
    "align-items",
    "justify-content",
    "gap",
    "float",
    "font",
    "font-family",
    "font-size",
    "font-style",
    "font-variant",
    "font-weight",
    "height",
    "letter-spacing",
    "line-height",
    "list-style",
    "list-style-position",
    "list-style-type",
    "margin",
    "margin-bottom",
    "margin-left",
    "margin-right",
    "margin-top",
    "max-height",
    "max-width",
    "min-height",
    "min-width",
    "object-fit",
    "opacity",
    "overflow",
    "overflow-wrap",
    "overflow-x",
    "overflow-y",
    "padding",
    "padding-bottom",
    "padding-left",
    "padding-right",
    "padding-top",
    "table-layout",
    "text-align",
    "text-decoration",
    "text-decoration-color",
    "text-decoration-line",
    "text-decoration-style",
    "text-indent",
    "text-overflow",
    "text-transform",
    "unicode-bidi",
    "vertical-align",
    "visibility",
    "white-space",
    "width",
    "word-break",
    "word-spacing",
];

/// Functions that only compute.
const FUNCTIONS: [&str; 5] = ["rgb", "rgba", "hsl", "hsla", "calc"];

/// The longest style attribute that is looked at.
const MAX_LENGTH: usize = 16 * 1_024;

/// The declarations of a style attribute that are safe. Each is judged alone, so that wherever a browser would see a
/// declaration end, nothing that was judged as part of another can begin.
pub(crate) fn filter(style: &str) -> String {
    if style.len() > MAX_LENGTH {
        return String::new();
    }
    let mut out = String::new();
    for declaration in style.split(';') {
        let Some((name, value)) = declaration.split_once(':') else { continue };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if PROPERTIES.contains(&name.as_str()) && is_safe_value(value) {
            out.push_str(if out.is_empty() { "" } else { ";" });
            out.push_str(&name);
            out.push(':');
            out.push_str(value);
        }
    }
    out
}

/// Whether the value has no escapes, comments, at-rules and blocks, closes what it opens, and calls only [`FUNCTIONS`].
fn is_safe_value(value: &str) -> bool {
    let plain = !value.is_empty()
        && !value.contains("/*")
        && !value.contains(['\\', '<', '>', '{', '}', '@', '\n', '\r', '\0', '\u{0C}', '&', ':']);
    plain
        && value.matches('"').count().is_multiple_of(2)
        && value.matches('\'').count().is_multiple_of(2)
        && value.matches('(').count() == value.matches(')').count()
        && value.match_indices('(').all(|(at, _)| {
            let head = value.get(..at).unwrap_or_default();
            let start = head.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '-').map_or(0, |n| n + 1);
            let name = head.get(start..).unwrap_or_default();
            // A bare bracket groups within calc().
            let whole = head.chars().next_back().is_none_or(|c| c.is_ascii());
            whole
                && (name.is_empty() && head.contains('(')
                    || FUNCTIONS.iter().any(|known| known.eq_ignore_ascii_case(name)))
        })
        && !value.to_ascii_lowercase().split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| {
            matches!(
                word,
                "expression"
                    | "url"
                    | "var"
                    | "env"
                    | "attr"
                    | "image"
                    | "image-set"
                    | "-moz-binding"
                    | "behavior"
            ) || is_of_viewport(word)
        })
}

/// A length by the size of the window, such as `100vh`: the frame is as high as the mail, so the two would chase each
/// other.
fn is_of_viewport(word: &str) -> bool {
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < word.len()
        && matches!(
            unit.strip_prefix(['d', 's', 'l']).unwrap_or(unit),
            "vh" | "vw" | "vmin" | "vmax" | "vi" | "vb"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(style: &str, expected: &str) {
        assert_eq!(filter(style), expected, "{style}");
    }

    #[test]
    fn only_what_colours_and_measures() {
        check("color: red; font-size:12px", "color:red;font-size:12px");
        check("COLOR:#fff !important", "color:#fff !important");
        check(
            "font-family:'Noto Sans KR', \"Arial\", sans-serif",
            "font-family:'Noto Sans KR', \"Arial\", sans-serif",
        );
        check("background: rgb(1, 2, 3)", "background:rgb(1, 2, 3)");
        check("width: calc((100% - 10px) / 2)", "width:calc((100% - 10px) / 2)");
        for bad in [
            "background:url(http://x/y.png)",
            "background:u\\72l(x)",
            "background:URL (x)",
            "background-image:url(x)",
            "height:100vh",
            "min-height: calc(1.5dvh + 2px)",
            "width:expression(alert(1))",
            "width:exp/**/ression(alert(1))",
            "color:var(--x)",
            "--x:red",
            "behavior:url(x)",
            "-moz-binding:url(x)",
            "position:fixed",
            "background:image-set('x' 1x)",
            "color:red}body{display:none",
            "content:'x'",
            "font-family:'a",
            "background:\u{ff55}rl(x)",
            "@import 'x'",
            "cursor:url(x)",
            "list-style:url(x)",
        ] {
            check(bad, "");
        }
        check("font-family:\"a;color:red\"", "");
        check("color:red;;:;x;width:1px", "color:red;width:1px");
    }
}
