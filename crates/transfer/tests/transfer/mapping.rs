//! The mapping's language: what each rule reads, and what is said about rules that are wrong.

use haat_transfer::{CsvMapping, ImportSpec};
use rstest::rstest;
use serde_json::{Value, json};

use crate::market::{Market, counts, csv, errors, mapped};

const LEAST: [&str; 3] = ["sku=id", "name=title", "price=cost:INR"];

/// The product that a row becomes, with these rules besides those that every mapping needs.
async fn product(rules: &[&str], header: &str, row: &str) -> Value {
    let market = Market::open().await;
    let rules: Vec<&str> = LEAST.iter().chain(rules).copied().collect();
    let input = format!("id,title,cost,{header}\n1,Apple,5,{row}\n");
    let report = market.import(mapped(&rules), input).await.unwrap();
    assert_eq!(report.errors, [], "{rules:?}");
    market.products().await.remove(0)
}

#[rstest]
#[case("category=a>b>c", "a,b,c", "Food, Rice ,Basmati", "category", json!(["Food", "Rice", "Basmati"]))]
#[case("category=a>b>c", "a,b,c", "Food,,Basmati", "category", json!(["Food", "Basmati"]))]
#[case("category=a|/", "a", "Food / Rice/", "category", json!(["Food", "Rice"]))]
#[case("category=a", "a", "Food > Rice!", "category", json!(null))]
#[case("category:=Food > Rice", "a", "", "category", json!(["Food", "Rice"]))]
#[case("tags=a|;", "a", "red; sweet ;;", "tags", json!(["red", "sweet"]))]
#[case("tags=a||", "a", "red|sweet", "tags", json!(["red", "sweet"]))]
#[case("tags=a,b", "a,b", "red,", "tags", json!(["red"]))]
#[case("tags=a", "a", "red; sweet", "tags", json!(["red; sweet"]))]
#[case("tags:=[\"new\",\"a|b\"]", "a", "", "tags", json!(["new", "a|b"]))]
#[case("images=a| ", "a", "https://example.org/1 https://example.org/2", "images", json!(["https://example.org/1", "https://example.org/2"]))]
#[case("brand=a", "a", "  Sri Sri\u{a0} Ayurveda ", "brand", json!("Sri Sri Ayurveda"))]
#[case("brand=a", "a", "   ", "brand", json!(null))]
#[case("seller:=\"Green Acre\"", "a", "", "seller", json!("Green Acre"))]
#[case("seller:=Green Acre", "a", "", "seller", json!("Green Acre"))]
#[case("status:=draft", "a", "", "status", json!("draft"))]
#[case("stock:=5", "a", "", "stock", json!(5))]
#[case("stock=a", "a", " 12 ", "stock", json!(12))]
#[case("rating=a", "a", "", "rating", json!(null))]
#[case("location=a,b", "a,b", "18.52,73.86", "location", json!({"lat": 18.52, "lon": 73.86}))]
#[case("location=a,b", "a,b", ",", "location", json!(null))]
#[case("list_price=a:@b", "a,b", "12.5,eur", "list_price", json!({"amount": 1250, "currency": "EUR"}))]
#[case("list_price=a:@b", "a,b", ",", "list_price", json!(null))]
#[case("list_price=\"a:x\":JPY", "a:x", "500", "list_price", json!({"amount": 500, "currency": "JPY"}))]
#[case("attributes.w=a:number", "a", "2.50", "attributes", json!({"w": 2.5}))]
#[case("attributes.w=a:bool", "a", "Yes", "attributes", json!({"w": true}))]
#[case("attributes.w=a", "a", "007", "attributes", json!({"w": "007"}))]
#[case("attributes.w=a:text", "a", "true", "attributes", json!({"w": "true"}))]
#[case("attributes.w=a|;", "a", "x;y", "attributes", json!({"w": ["x", "y"]}))]
#[case("attributes.w=a:number", "a", "", "attributes", json!({}))]
#[case("attributes.w:=true", "a", "", "attributes", json!({"w": true}))]
#[case("attributes.w:=\"true\"", "a", "", "attributes", json!({"w": "true"}))]
#[case("attributes=a", "a", "\"{\"\"w\"\":1}\"", "attributes", json!({"w": 1}))]
#[case("description={a} by {b}", "a,b", "Rice,", "description", json!("Rice by"))]
#[case("description={a} by {b}", "a,b", ",", "description", json!(null))]
#[case("description={{x}} {a}", "a", "y", "description", json!("{x} y"))]
#[case("unit=\"{a}\"", "{a}", "kg", "unit", json!("kg"))]
#[case("unit=\"a\"\"b\"", "\"a\"\"b\"", "kg", "unit", json!("kg"))]
#[case("created_at=a", "a", "2026-01-02", "created_at", json!("2026-01-02T00:00:00Z"))]
#[tokio::test]
async fn a_rule_reads(
    #[case] rule: &str,
    #[case] header: &str,
    #[case] row: &str,
    #[case] member: &str,
    #[case] expected: Value,
) {
    if row == "Food > Rice!" {
        // One column without a separator is one level, and a level has no ' > '.
        let market = Market::open().await;
        let rules: Vec<&str> = LEAST.iter().copied().chain([rule]).collect();
        let report = market.import(mapped(&rules), format!("id,title,cost,a\n1,Apple,5,{row}\n")).await.unwrap();
        assert!(errors(&report)[0].starts_with("2 a: has ' > ', which separates levels"));
        return;
    }
    assert_eq!(product(&[rule], header, row).await[member], expected);
}

#[tokio::test]
async fn a_sku_is_put_together_and_half_a_sku_is_none() {
    let market = Market::open().await;
    let spec = mapped(&["sku=G-{shop}-{id}", "name=title", "price.amount=paise", "price.currency:=INR"]);
    let report = market.import(spec, "id,shop,title,paise\n1,a,Apple,500\n2,,Pear,500\n3,b,Plum,\n").await.unwrap();
    assert_eq!(market.skus().await, ["G-a-1"]);
    assert_eq!(
        errors(&report),
        ["3 shop, id: 'sku' is required, and the cell is empty", "4 paise: 'price' is required, and the cell is empty",]
    );
}

#[tokio::test]
async fn every_wrong_cell_of_a_row_is_named() {
    let market = Market::open().await;
    let spec = mapped(&[
        "sku=id",
        "name=title",
        "price=cost:@cur",
        "stock=stock",
        "attributes.bio=bio:bool",
        "attributes.w=w:number",
        "category=a>b",
    ]);
    let input =
        "id,title,cost,cur,stock,bio,w,a,b\n1,Apple,1.005,INR,-1,maybe,inf,x,y\n2,Apple,5,rupees,1.5,,,\"x > y\",\n";
    let report = market.import(spec, input).await.unwrap();
    assert_eq!(
        errors(&report),
        [
            "2 cost: '1.005' has more than the 2 decimal places of INR",
            "2 bio: 'maybe' is neither yes nor no (true, yes, y, 1; false, no, n, 0)",
            "2 w: 'inf' is not a number such as 12 or 4.5",
            "2 stock: must be an integer from 0 to 9007199254740991",
            "3 cur: 'RUPEES' is not an ISO 4217 currency code such as INR, EUR or USD",
            "3 a, b: has ' > ', which separates levels; give each level as an item of its own",
            "3 stock: must be an integer from 0 to 9007199254740991",
        ]
    );
}

#[rstest]
#[case("name", "a rule is FIELD=COLUMN")]
#[case("nmae=title", "there is no field 'nmae'; did you mean 'name'?")]
#[case("brand=", "write which column it is: brand=COLUMN")]
#[case("brand=\"maker", "the double quotes are not closed")]
#[case("brand=\"maker\"x", "there is text after the closing double quote")]
#[case("brand=a>b", "'brand' is read from one column")]
#[case("brand=a|;", "'brand' is not a list")]
#[case("brand=a:number", "'brand' takes no ':number'")]
#[case("brand={maker", "a brace is not closed")]
#[case("brand={}", "the braces are empty")]
#[case("brand={{x", "there is no column in it; write brand:=VALUE")]
#[case("list_price=cost", "a price needs its currency: list_price=cost:INR")]
#[case("list_price=cost:inr", "'inr' is not an ISO 4217 currency code")]
#[case("list_price=cost:@", "the name of a column is missing")]
#[case("list_price:=5", "give a constant price as list_price.amount:=12900")]
#[case("stock={a}{b}", "'stock' is not a text")]
#[case("stock:=many", "'many' is not a number")]
#[case("stock:=-1", "must be an integer from 0")]
#[case("status:=gone", "must be one of active, draft, archived")]
#[case("seller:=", "write a value: seller:=VALUE")]
#[case("category=a,b", "write '>' between the columns of category")]
#[case("tags=a>b", "write ',' between the columns of tags")]
#[case("tags=a,b|;", "give several columns, or one column with a separator, not both")]
#[case("tags=a|", "write the separator after the '|'")]
#[case("tags=a,b>c", "'>' and ',' are mixed")]
#[case("location=a", "a place is two columns of degrees")]
#[case("location.lat:=91", "must be from -90 to 90")]
#[case("attributes.a b=x", "'a b' cannot name an attribute")]
#[case("attributes.a=x:date", "'date' is not a type of attribute")]
#[case("version=x", "'version' is kept by the server")]
#[case("sku=other", "'sku=id' says already where that field is read")]
#[case("price.amount=x", "'price=cost:INR' says already")]
fn a_rule_that_is_wrong_is_named_with_what_to_write(#[case] rule: &str, #[case] expected: &str) {
    let error = CsvMapping::parse(LEAST.iter().copied().chain([rule])).unwrap_err();
    assert_eq!(error.rule, rule);
    assert!(error.detail.contains(expected), "{error}");
    assert!(error.to_string().starts_with(&format!("--map '{rule}': ")), "{error}");
}

#[test]
fn a_mapping_that_lacks_what_every_product_needs_says_what() {
    let error = CsvMapping::parse(["name=title", "price.amount=x"]).unwrap_err().to_string();
    assert!(error.contains("'sku' (add sku=COLUMN)") && error.contains("add price.currency=COLUMN"), "{error}");
    let error = CsvMapping::parse(["sku=a", "name=title"]).unwrap_err().to_string();
    assert!(error.contains("'price' (add price=COLUMN:INR"), "{error}");
}

const FILE: &str = r#"
[fields]
sku = "G-{id}"
name = "title"
price.amount = "cost"
price.currency = { value = "INR" }
category = "a > b"
stock = { value = 5 }
tags = { value = ["new", "spring"] }

[fields.attributes]
organic = "bio:bool"
code = { value = "007" }
value = "worth:number"
"#;

#[tokio::test]
async fn a_file_of_rules_says_the_same_as_flags_and_flags_come_on_top() {
    let from_file = CsvMapping::from_toml(FILE, ["name={title}!", "price=cost:INR"]).unwrap();
    let market = Market::open().await;
    let spec = ImportSpec { mapping: Some(from_file.clone()), ..csv() };
    let report = market.import(spec, "id,title,cost,a,b,bio,worth\n1,Apple,5,x,y,no,3\n").await.unwrap();
    assert_eq!(report.counts, counts(1, 1, 0, 0, 0), "{:?}", report.errors);
    let product = &market.products().await[0];
    assert_eq!(product["name"], "Apple!");
    assert_eq!(product["price"], json!({"amount": 500, "currency": "INR"}));
    assert_eq!(product["category"], json!(["x", "y"]));
    assert_eq!(product["tags"], json!(["new", "spring"]));
    assert_eq!(product["attributes"], json!({"organic": false, "code": "007", "value": 3}));
    let rules: Vec<&str> = from_file.rules().collect();
    assert_eq!(CsvMapping::parse(&rules).unwrap(), from_file);
}

#[rstest]
#[case("[fields", "the mapping file is not TOML")]
#[case(
    "[field]\nsku = \"a\"",
    "the mapping file has 'field'; it may only have a table [fields]; did you mean [fields]?"
)]
#[case("[fields]\nnmae = \"a\"", "mapping file, [fields] nmae=a: there is no field 'nmae'; did you mean 'name'?")]
#[case(
    "[fields]\nstock = 5",
    "mapping file, [fields] stock: write a source in quotes, or { value = … } for a constant"
)]
#[case("[fields]\nstock = { value = 1979-05-27 }", "mapping file, [fields] stock: a constant is a string")]
#[case("", "it does not say where to read 'sku'")]
fn a_file_that_is_wrong_says_where(#[case] file: &str, #[case] expected: &str) {
    let error = CsvMapping::from_toml(file, [""; 0]).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}
