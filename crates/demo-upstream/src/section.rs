//! The part of `haat.toml` that makes a demonstration upstream a source.

use crate::options::{Client, READ};

/// The `[[sources]]` section for a server at `base_url` (without a slash at its end), whose catalogue `client` may read. A
/// sync asks for what changed every ten seconds and for everything every five minutes.
pub fn sources_section(name: &str, base_url: &str, client: &Client) -> String {
    let [name, base_url, token_url, id, secret, scope] =
        [name, base_url, &format!("{base_url}/oauth/token"), &client.id, &client.secret, READ].map(quoted);
    format!(
        r#"[[sources]]
name = {name}
kind = "rest"
base_url = {base_url}
allow_networks = ["127.0.0.0/8"]
schedule = "10s"
full_schedule = "5m"
live = ["price", "stock"]

[sources.auth]
type = "oauth2"
token_url = {token_url}
client_id = {id}
client_secret = {secret}
scopes = [{scope}]

[sources.list]
path = "products"
items = "/results"
total = "/total"
pagination = {{ type = "page", parameter = "page", first = 1, size_parameter = "per_page", size = 100 }}
since = {{ parameter = "updated_since", format = "rfc3339", overlap = "5m" }}

[sources.item]
path = "products/{{key}}"

[sources.fields]
key = "/id"
sku = "/sku"
order = "/version"
updated_at = "/modified"
created_at = "/created"
name = "/title"
description = "/text"
brand = "/maker"
category = "/path"
tags = "/labels"
price = {{ pointer = "/price/cents", unit = "minor", currency = {{ pointer = "/price/currency" }} }}
list_price = {{ pointer = "/was_price/cents", unit = "minor", currency = {{ pointer = "/was_price/currency" }} }}
stock = "/quantity"
rating = "/rating"
images = "/images"
attributes = {{ all = "/specs" }}
variants = {{ pointer = "/options", fields = {{ sku = "/sku", name = "/title", stock = "/quantity" }} }}
status = {{ pointer = "/state", map = {{ on = "active", off = "archived" }} }}
"#
    )
}

/// As a TOML basic string: JSON's, but for DEL.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_toml_whatever_the_secret_is() {
        let client = Client::new("me", "a\"b\\c\nd\u{7f}é");
        let text = sources_section("market", "http://127.0.0.1:4000", &client);
        let read: toml::Table = text.parse().unwrap();
        let source = &read["sources"][0];
        assert_eq!(source["auth"]["client_secret"].as_str(), Some(client.secret.as_str()));
        assert_eq!(source["auth"]["token_url"].as_str(), Some("http://127.0.0.1:4000/oauth/token"));
        assert_eq!(source["item"]["path"].as_str(), Some("products/{key}"));
        assert_eq!(source["fields"]["variants"]["fields"]["name"].as_str(), Some("/title"));
    }
}
