//! Prices: exact, in minor units, of whatever way an upstream writes them. Nothing is ever rounded.

use haat_catalog::money::{MAX_AMOUNT, MoneyError};
use haat_catalog::{Currency, Money};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::convert::{self, kind_of};
use super::field::Refusal;
use super::pointer::Pointer;
use super::settings::{SettingError, text_or_table};

/// Below so many minor units an amount with a fraction surely survives being read as a number of JSON: a binary64 keeps every
/// decimal number of 15 digits (IEEE 754), and of 16 not all.
const SURE_AMOUNT: i64 = 1_000_000_000_000_000;
/// The most digits of a decimal text: `rust_decimal` would round others.
const MOST_DIGITS: usize = 28;

/// In what an amount is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// In the currency's smallest unit: 1999 for 19.99.
    Minor,
    /// In the currency itself: 19.99, as a number or as a text.
    Major,
}

/// A price as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table { pointer = …, unit = …, currency = … }")]
pub struct PriceSettings {
    pointer: String,
    unit: Unit,
    currency: CurrencySettings,
}

/// A currency as it is written: a code, or a table with a pointer.
#[derive(Debug, Clone)]
struct CurrencySettings(CurrencyTable);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CurrencyTable {
    pointer: Option<String>,
    default: Option<String>,
    #[serde(skip)]
    constant: Option<String>,
}

impl<'de> Deserialize<'de> for CurrencySettings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let plain = |code| CurrencyTable { constant: Some(code), ..CurrencyTable::default() };
        text_or_table(from, "a currency such as \"EUR\", or { pointer = … }", plain).map(Self)
    }
}

/// A price that can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    pointer: Pointer,
    unit: Unit,
    currency: Option<Pointer>,
    otherwise: Option<Currency>,
}

impl PriceSettings {
    /// The price that is meant.
    ///
    /// # Errors
    /// When a pointer is none, or a currency.
    pub fn meaning(&self, key: &str) -> Result<Price, SettingError> {
        let at = format!("{key}.currency");
        let code = |code: &String| match code.starts_with('/') {
            true => Err(SettingError::new(
                &at,
                format!("is no currency; for a place in the item write {{ pointer = \"{code}\" }}"),
            )),
            false => currency_code(&at, code),
        };
        let CurrencyTable { pointer, default, constant } = &self.currency.0;
        let currency = pointer.as_ref().map(|pointer| Pointer::parse(&at, pointer)).transpose()?;
        let otherwise = constant.as_ref().or(default.as_ref()).map(code).transpose()?;
        if currency.is_none() && constant.is_none() {
            return Err(SettingError::new(
                at,
                "needs a `pointer`; a currency that is always the same is written as \"EUR\"",
            ));
        }
        Ok(Price {
            pointer: Pointer::parse(&format!("{key}.pointer"), &self.pointer)?,
            unit: self.unit,
            currency,
            otherwise,
        })
    }
}

/// A currency as it is set.
///
/// # Errors
/// When ISO 4217 has none of that code.
pub fn currency_code(key: &str, code: &str) -> Result<Currency, SettingError> {
    code.parse().map_err(|_| SettingError::new(key, "is no currency code of ISO 4217 such as \"EUR\""))
}

impl Price {
    /// The price as the product format has it; `None` where the item names none.
    ///
    /// # Errors
    /// When amount or currency are none, or the amount is not a whole number of minor units.
    pub fn read(&self, item: &Value) -> Result<Option<Value>, Refusal> {
        let Some(amount) = self.pointer.find(item) else { return Ok(None) };
        let currency = self.currency(item)?;
        let money = match self.unit {
            Unit::Minor => minor(amount, currency),
            Unit::Major => major(amount, currency),
        };
        let money = money.map_err(|detail| Refusal::at(self.pointer.as_str(), detail))?;
        Ok(Some(json!({"amount": money.amount, "currency": money.currency})))
    }

    /// Where the amount is read from.
    pub fn place(&self) -> &str {
        self.pointer.as_str()
    }

    fn currency(&self, item: &Value) -> Result<Currency, Refusal> {
        let place = self.currency.as_ref();
        match (place.and_then(|place| place.find(item)), self.otherwise) {
            (Some(Value::String(code)), _) => {
                code.trim().to_ascii_uppercase().parse().ok().ok_or("must be a code of ISO 4217")
            }
            (Some(_), _) => Err("must be a code of ISO 4217 in a string"),
            (None, Some(currency)) => Ok(currency),
            (None, None) => Err("there is no currency"),
        }
        .map_err(|detail| Refusal::at(place.map_or("", Pointer::as_str), detail))
    }
}

/// An amount in minor units.
///
/// # Errors
/// When it is no whole number from 0 to [`MAX_AMOUNT`].
pub fn minor(amount: &Value, currency: Currency) -> Result<Money, String> {
    let amount = convert::integer(amount)?;
    match (0..=MAX_AMOUNT).contains(&amount) {
        true => Ok(Money { amount, currency }),
        false => Err(format!("must be from 0 to {MAX_AMOUNT} minor units")),
    }
}

/// An amount in major units: a decimal number, or a text that is one.
///
/// # Errors
/// When it is none, is finer than the currency's minor unit, out of range, or a number of so many digits that reading it
/// may have changed it.
pub fn major(amount: &Value, currency: Currency) -> Result<Money, String> {
    let text = match amount {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        other => return Err(format!("must be a decimal number, or a text that is one, not {}", kind_of(other))),
    };
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E');
    if text.is_empty() || !text.chars().all(plain) {
        return Err("must be a decimal number such as 19.99".to_owned());
    }
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    if mantissa.chars().filter(char::is_ascii_digit).count() > MOST_DIGITS {
        return Err(format!("has more than {MOST_DIGITS} digits; such an amount cannot be read exactly"));
    }
    // The texts of these repeat the amount, which is somebody's data.
    let money = Money::from_decimal(&text, currency).map_err(|error| match error {
        MoneyError::TooPrecise(_, places, code) => format!("has more than the {places} decimal places of {code}"),
        MoneyError::OutOfRange(_) => format!("must be from 0 to {MAX_AMOUNT} minor units"),
        _ => "must be a decimal number such as 19.99".to_owned(),
    })?;
    match amount.is_f64() && money.amount >= SURE_AMOUNT {
        true => {
            Err("has so many digits that reading it as a number may have changed it; it has to be a text".to_owned())
        }
        false => Ok(money),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn code(code: &str) -> Currency {
        code.parse().unwrap()
    }

    #[rstest]
    #[case(json!("19.99"), "EUR", 1_999)]
    #[case(json!(19.99), "EUR", 1_999)]
    #[case(json!(0.1), "EUR", 10)]
    #[case(json!(1.1), "EUR", 110)]
    #[case(json!("129.500"), "INR", 12_950)]
    #[case(json!(500), "JPY", 500)]
    #[case(json!("1.234"), "KWD", 1_234)]
    #[case(json!(1e2), "EUR", 10_000)]
    #[case(json!("90071992547409.91"), "EUR", MAX_AMOUNT)]
    #[case(json!(0), "EUR", 0)]
    fn amounts_in_major_units_are_exact(#[case] amount: Value, #[case] currency: &str, #[case] is: i64) {
        assert_eq!(major(&amount, code(currency)).map(|m| m.amount), Ok(is));
    }

    #[rstest]
    #[case(json!("1.005"))]
    #[case(json!(1.005))]
    #[case(json!("-1"))]
    #[case(json!(-0.5))]
    #[case(json!("12,50"))]
    #[case(json!("1_000"))]
    #[case(json!("1.00000000000000000000000000000000000001"))]
    #[case(json!("0.00000000000000000000000000000000000001"))]
    #[case(json!("90071992547409.92"))]
    #[case(serde_json::from_str("90071992547409.91").unwrap())]
    #[case(json!(1e300))]
    #[case(json!("1e99999999999"))]
    #[case(json!(""))]
    #[case(json!("NaN"))]
    #[case(json!(true))]
    #[case(json!([1]))]
    fn amounts_that_would_be_rounded_or_guessed_are_refused(#[case] amount: Value) {
        let refusal = major(&amount, code("EUR")).unwrap_err();
        assert!(!refusal.contains("12,50") && !refusal.contains("1_000"), "{refusal}");
    }

    #[test]
    fn amounts_in_minor_units_are_whole() {
        assert_eq!(minor(&json!("1999"), code("EUR")).map(|m| m.amount), Ok(1_999));
        for bad in [json!(19.99), json!(-1), json!(MAX_AMOUNT + 1), json!("19.99"), json!(u64::MAX)] {
            assert!(minor(&bad, code("EUR")).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_currency_is_the_one_at_its_place_else_the_one_that_is_set() {
        let price = |settings: Value| serde_json::from_value::<PriceSettings>(settings).unwrap().meaning("price");
        let one = json!({"pointer": "/p", "unit": "minor", "currency": {"pointer": "/c", "default": "USD"}});
        let price_of = price(one).unwrap();
        assert_eq!(price_of.read(&json!({"p": 5, "c": "eur"})), Ok(Some(json!({"amount": 5, "currency": "EUR"}))));
        assert_eq!(price_of.read(&json!({"p": 5})), Ok(Some(json!({"amount": 5, "currency": "USD"}))));
        assert_eq!(price_of.read(&json!({"c": "EUR"})), Ok(None));
        for (item, at) in
            [(json!({"p": 5, "c": "ZZZ"}), "/c"), (json!({"p": 5, "c": 7}), "/c"), (json!({"p": "x"}), "/p")]
        {
            assert_eq!(price_of.read(&item).unwrap_err().pointer, at);
        }
        let wrong = price(json!({"pointer": "/p", "unit": "minor", "currency": "/c"})).unwrap_err();
        assert!(wrong.key == "price.currency" && wrong.detail.contains("{ pointer = \"/c\" }"), "{wrong}");
        assert!(price(json!({"pointer": "/p", "unit": "minor", "currency": "EURO"})).is_err());
        assert!(price(json!({"pointer": "/p", "unit": "minor", "currency": {"default": "EUR"}})).is_err());
    }

    proptest! {
        #[test]
        fn an_amount_written_in_major_units_is_the_one_in_minor_units(
            amount in 0..=MAX_AMOUNT,
            currency in prop::sample::select(vec!["EUR", "JPY", "KWD", "INR"]),
        ) {
            let (currency, places) = (code(currency), usize::try_from(code(currency).exponent()).unwrap());
            let digits = format!("{amount:0>width$}", width = places + 1);
            let (whole, part) = digits.split_at(digits.len() - places);
            let text = if places == 0 { digits.clone() } else { format!("{whole}.{part}") };
            let money = Money { amount, currency };
            prop_assert_eq!(major(&json!(text), currency), Ok(money));
            prop_assert_eq!(minor(&json!(amount), currency), Ok(money));
            // As a number of JSON: the same amount, or none.
            let number: Value = serde_json::from_str(&text).unwrap();
            if let Ok(read) = major(&number, currency) {
                prop_assert_eq!(read, money);
            } else {
                prop_assert!(amount >= 10_i64.pow(15));
            }
        }
    }
}
