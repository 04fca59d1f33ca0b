//! The reference of problem codes, for `docs/errors.md` and for `/docs/errors`.

use super::Code;

const INTRODUCTION: &str = "\
Every answer that is not a success has a body of type `application/problem+json` (RFC 9457):

```json
{\"type\":\"…#invalid_parameter\",\"title\":\"A parameter is not valid\",\"status\":400,\"detail\":\"limit: must be an integer from 1 to 100.\",
 \"code\":\"invalid_parameter\",\"request_id\":\"0199…\",\"errors\":[{\"pointer\":\"/limit\",\"detail\":\"must be an integer from 1 to 100\"}]}
```

`code` is stable: programs should look at it and at nothing else. `detail` is for a person and may change. `request_id`
is also in the header `X-Request-Id` and in the server's log. Answers with status 503 carry `Retry-After`.
";

/// The reference as Markdown, one section per code; `docs/errors.md` holds exactly this text.
pub fn errors_markdown() -> String {
    let mut out = format!("# Errors\n\n{INTRODUCTION}\n| code | status | title |\n|---|---|---|\n");
    for code in Code::ALL {
        let (name, status) = (code.name(), code.status().as_u16());
        out.push_str(&format!("| [`{name}`](#{name}) | {status} | {} |\n", code.title()));
    }
    for code in Code::ALL {
        out.push_str(&format!("\n## {}\n\n**{}** {}. ", code.name(), code.status().as_u16(), code.title()));
        out.push_str(code.about());
        out.push('\n');
        for (member, about) in code.members() {
            out.push_str(&format!("\n- `{member}`: {about}\n"));
        }
    }
    out
}

/// The reference as a page: where the `type` of a problem leads by default.
pub fn errors_html() -> String {
    let mut out = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Haat: errors</title>\
         <link rel=\"stylesheet\" href=\"/docs/reference.css\"></head><body><main>\n<h1>Errors</h1>\n\
         <p>Every answer that is not a success is <code>application/problem+json</code> (RFC 9457). Programs should \
         look at <code>code</code>, which never changes. <a href=\"/docs\">API reference</a></p>\n",
    );
    for code in Code::ALL {
        let name = code.name();
        out.push_str(&format!(
            "<section id=\"{name}\"><h2>{name}</h2>\n<p><b>{}</b> {}</p>\n",
            code.status().as_u16(),
            code.title()
        ));
        out.push_str(&format!("<p>{}</p>\n", inline(code.about())));
        if !code.members().is_empty() {
            out.push_str("<ul>");
            for (member, about) in code.members() {
                out.push_str(&format!("<li><code>{member}</code>: {}</li>", inline(about)));
            }
            out.push_str("</ul>\n");
        }
        out.push_str("</section>\n");
    }
    out.push_str("</main></body></html>\n");
    out
}

/// Escapes a text for HTML and makes what is between backticks code.
fn inline(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut out = String::with_capacity(escaped.len());
    for (i, part) in escaped.split('`').enumerate() {
        if i % 2 == 1 {
            out.push_str(&format!("<code>{part}</code>"));
        } else {
            out.push_str(part);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_section_and_its_anchor() {
        let (markdown, html) = (errors_markdown(), errors_html());
        for code in Code::ALL {
            assert!(markdown.contains(&format!("\n## {}\n", code.name())));
            assert!(html.contains(&format!("<section id=\"{}\">", code.name())));
        }
    }

    #[test]
    fn texts_become_html_without_becoming_markup() {
        assert_eq!(inline("a `<b>` & c"), "a <code>&lt;b&gt;</code> &amp; c");
    }
}
