//! CSV as a form: quotes, line numbers, headers. What the columns mean is tested in `mapping`.

use haat_transfer::ImportSpec;
use rstest::rstest;

use haat_transfer::spec::MAX_RECORD_BYTES;

use crate::market::{Market, counts, csv, errors, mapped};

const RULES: &[&str] = &["sku=id", "name=title", "price=cost:INR"];

#[tokio::test]
async fn rows_over_several_lines_keep_the_line_numbers_right() {
    let market = Market::open().await;
    let input = "id,title,cost\n\
                 1,\"two\nlines\",5\n\
                 2,\"three\r\n\r\nlines\",x\n\
                 \n\
                 3,\"a \"\"quoted\"\", word\",7.50\n\
                 ,nothing,1\n\
                 4,short\n\
                 5,long,1,2\n\
                 6,ok,1";
    let report = market.import(mapped(RULES), input).await.unwrap();
    assert_eq!(
        errors(&report),
        [
            "4 cost: 'x' is not a decimal amount such as 129 or 129.50",
            "9 id: 'sku' is required, and the cell is empty",
            "10 : the row has 2 cells, the header has 3 columns; a cell with the separator in it needs double quotes",
            "11 : the row has 4 cells, the header has 3 columns; a cell with the separator in it needs double quotes",
        ]
    );
    assert_eq!(report.counts, counts(7, 3, 0, 0, 4));
    let products = market.products().await;
    assert_eq!(products[0]["name"], "two lines");
    assert_eq!(products[1]["name"], "a \"quoted\", word");
    assert_eq!(products[1]["price"]["amount"], 750);
}

#[tokio::test]
async fn a_stray_quote_costs_one_row_not_all_up_to_the_next_quote() {
    let market = Market::open().await;
    let input = "id,title,cost\n1,\"open,5\n2,b,5\n3,\"c\" x,5\n4,\"d\",5\n5,5\" pipe,5\n6,\"never closed,5\n7,g,5\n";
    let report = market.import(mapped(RULES), input).await.unwrap();
    let found = errors(&report);
    assert!(found[0].starts_with("2 title: there is text after the cell's closing double quote"), "{found:#?}");
    assert!(found[1].starts_with("4 title: there is text after"), "{found:#?}");
    assert!(found[2].starts_with("7 title: a double quote opens this cell and is never closed"), "{found:#?}");
    assert_eq!(report.counts, counts(7, 4, 0, 0, 3));
    assert_eq!(market.skus().await, ["2", "4", "5", "7"]);
}

#[tokio::test]
async fn a_row_that_is_too_long_is_an_error_and_the_next_one_is_read() {
    let market = Market::open().await;
    let input = format!(
        "id,title,cost\n1,{},5\n2,b,5\n3,\"{}\n",
        "x".repeat(2 * MAX_RECORD_BYTES),
        "4,d,5\n".repeat(MAX_RECORD_BYTES / 5)
    );
    let spec = ImportSpec { max_errors: u64::MAX, ..mapped(RULES) };
    let report = market.import(spec, input).await.unwrap();
    let found = errors(&report);
    let too_long = format!("the row is longer than {MAX_RECORD_BYTES} bytes");
    assert!(found[0].starts_with(&format!("2 : {too_long}")), "{}", found[0]);
    assert!(found[1].starts_with(&format!("4 : {too_long}")), "{}", found[1]);
    assert!(found[2].starts_with("6 id: the sku '4' is already on line 5"), "{}", found[2]);
    assert_eq!(market.skus().await, ["2", "4"]);
}

#[rstest]
#[case::comma("id,title,cost\nA,a;b,1\n")]
#[case::semicolon("id;title;cost\nA;a,b;1\n")]
#[case::tab("id\ttitle\tcost\nA\ta,b\t1\n")]
#[case::crlf_and_byte_order_mark("\u{feff}id,title,cost\r\nA,b,1\r\n")]
#[case::quoted_header("\"id\",\"title\",\"cost\"\n\"A\",\"b\",\"1\"\n")]
#[case::spaces_in_the_header(" id , title , cost \n A , b , 1 \n")]
#[case::empty_rows("\n,,\nid,title,cost\n,,\n  ,, \nA,b,1\n,,\n")]
#[case::other_columns("x,id,title,cost,\n1,A,b,1,\n")]
#[tokio::test]
async fn the_common_kinds_of_csv_are_read(#[case] input: &str) {
    let market = Market::open().await;
    let result = market.import(mapped(RULES), input).await;
    if input.starts_with("\n,,\n") {
        // A row of nothing but separators is blank, and so is the header's place before it.
        assert_eq!(result.unwrap().counts.created, 1);
        return;
    }
    let report = result.unwrap();
    assert_eq!(report.counts, counts(1, 1, 0, 0, 0), "{:?}", report.errors);
    assert_eq!(market.skus().await, ["A"]);
}

#[tokio::test]
async fn a_cell_that_is_not_utf_8_is_named() {
    let market = Market::open().await;
    let input = b"id,title,cost\n1,caf\xe9,5\n2,b,5\n".to_vec();
    let report = market.import(mapped(RULES), input).await.unwrap();
    assert_eq!(errors(&report), ["2 title: byte 4 of the cell is not UTF-8; save the file in UTF-8"]);
    assert_eq!(report.counts, counts(2, 1, 0, 0, 1));
}

#[tokio::test]
async fn a_header_that_lacks_columns_is_one_error_before_anything_is_written() {
    let market = Market::open().await;
    let rules = &["sku=idx", "name=Titel", "price=cost:INR", "brand=maker"];
    let error = market.import(mapped(rules), "id,title,cost\n1,a,5\n").await.unwrap_err().to_string();
    for expected in
        ["'idx' for sku (did you mean 'id'?)", "'Titel' for name (did you mean 'title'?)", "'maker' for brand"]
    {
        assert!(error.contains(expected), "{expected} in {error}");
    }
    assert!(error.ends_with("The header has: id, title, cost"), "{error}");
    assert!(market.products().await.is_empty());
}

#[rstest]
#[case::empty("", "the input is empty")]
#[case::blank("\n \n", "the input is empty")]
#[case::not_utf_8("id,caf\u{e9}\n", "not UTF-8")]
#[case::twice("id,title,cost,id\n", "the column 'id' is there twice")]
#[case::quote("\"id,title,cost\n", "line 1: a double quote opens")]
#[tokio::test]
async fn a_header_that_cannot_be_used_says_why(#[case] input: &str, #[case] expected: &str) {
    let market = Market::open().await;
    // Latin-1, so that the é is not UTF-8.
    let input: Vec<u8> = input.chars().map(|c| u8::try_from(c).unwrap()).collect();
    let error = market.import(mapped(RULES), input).await.unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[tokio::test]
async fn a_header_of_a_million_columns_is_refused_at_once() {
    let market = Market::open().await;
    let error = market.import(csv(), "x,".repeat(500_000) + "\n").await.unwrap_err().to_string();
    assert!(error.contains("500001 columns, more than 10000"), "{error}");
}

#[rstest]
#[case("sku,name,price.amount\n", "it has no column price.currency")]
#[case("sku,name,price.amount,price.curency\n", "there is no column 'price.curency'; did you mean 'price.currency'?")]
#[case("index,product,brand_name\n", "none of its columns (index, product, brand_name) is a field of a product")]
#[case("sku,sku,name\n", "the column 'sku' is there twice")]
#[case("sku,name,price\n", "there is no column 'price'")]
#[case("sku,name,price.amount,price.currency,attributes.a b\n", "'a b' cannot name an attribute")]
#[tokio::test]
async fn without_a_mapping_the_header_must_name_fields(#[case] input: &str, #[case] expected: &str) {
    let market = Market::open().await;
    let error = market.import(csv(), input).await.unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[tokio::test]
async fn the_flat_form_is_read_without_a_mapping() {
    let market = Market::open().await;
    let input = "sku,name,price.amount,price.currency,list_price.amount,list_price.currency,category,tags,stock,rating,\
                 location.lat,location.lon,attributes.organic,attributes.weight_g,attributes.code,status,created_at\n\
                 A,Apple,12900,INR,,INR,Fruit > Apples,red|sweet,0,,18.52,73.86,true,250,007,draft,2026-01-02\n\
                 B,Pear,1.5,INR,,,,,NaN,9,91,0,,,,sold,yesterday\n";
    let report = market.import(csv(), input).await.unwrap();
    let product = &market.products().await[0];
    assert_eq!(product["category"], serde_json::json!(["Fruit", "Apples"]));
    assert_eq!(product["tags"], serde_json::json!(["red", "sweet"]));
    assert_eq!(product["attributes"], serde_json::json!({"organic": true, "weight_g": 250, "code": "007"}));
    assert_eq!(product["list_price"], serde_json::Value::Null);
    assert_eq!(product["stock"], 0);
    assert_eq!(product["created_at"], "2026-01-02T00:00:00Z");
    let found = errors(&report);
    for expected in [
        "3 stock: 'NaN' is not a number",
        "3 price.amount: must be an integer",
        "3 rating: must be from 0 to 5",
        "3 location.lat: must be from -90 to 90",
        "3 status: must be one of active, draft, archived",
        "3 created_at: 'yesterday' is not an RFC 3339 date-time",
    ] {
        assert!(found.iter().any(|e| e.starts_with(expected)), "{expected} in {found:#?}");
    }
}
