//! Money as integer minor units with an ISO 4217 code, never a float.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The largest amount: 2^53 − 1, so that every JSON reader gets it exactly (RFC 8259 §6).
pub const MAX_AMOUNT: i64 = 9_007_199_254_740_991;

/// An ISO 4217 currency code, for example `INR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// The code's three capital letters.
    pub fn code(&self) -> &str {
        // Only ASCII letters pass `from_str`, so this never falls back.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// How many decimal places the currency's minor unit has (2 for INR, 0 for JPY, 3 for KWD).
    pub fn exponent(&self) -> u32 {
        iso_currency::Currency::from_code(self.code()).and_then(|c| c.exponent()).map_or(2, u32::from)
    }
}

/// Why a currency code or a decimal amount was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a code of ISO 4217.
    #[error("'{0}' is not an ISO 4217 currency code such as INR, EUR or USD")]
    UnknownCurrency(String),
    /// Not a decimal number.
    #[error("'{0}' is not a decimal amount such as 129 or 129.50")]
    NotDecimal(String),
    /// More decimal places than the currency has.
    #[error("'{0}' has more than the {1} decimal places of {2}")]
    TooPrecise(String, u32, String),
    /// Below zero or above [`MAX_AMOUNT`].
    #[error("'{0}' is outside 0 to {MAX_AMOUNT} minor units")]
    OutOfRange(String),
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(s: &str) -> Result<Self, MoneyError> {
        let unknown = || MoneyError::UnknownCurrency(s.chars().take(16).collect());
        let bytes: [u8; 3] = s.as_bytes().try_into().map_err(|_| unknown())?;
        if !bytes.iter().all(u8::is_ascii_uppercase) {
            return Err(unknown());
        }
        iso_currency::Currency::from_code(s).map(|_| Self(bytes)).ok_or_else(unknown)
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;
    fn try_from(s: String) -> Result<Self, MoneyError> {
        s.parse()
    }
}

impl From<Currency> for String {
    fn from(c: Currency) -> Self {
        c.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount in minor units (paise, cents) of a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Minor units, 0 to [`MAX_AMOUNT`].
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: Currency,
}

impl Money {
    /// Reads a decimal amount in major units, as spreadsheets and upstreams write it (`129.50`), exactly.
    ///
    /// # Errors
    /// When the text is no decimal number, has more decimal places than the currency, or is out of range.
    pub fn from_decimal(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let short = || text.chars().take(40).collect::<String>();
        let value = Decimal::from_str(text.trim())
            .or_else(|_| Decimal::from_scientific(text.trim()))
            .map_err(|_| MoneyError::NotDecimal(short()))?;
        let exponent = currency.exponent();
        let minor =
            value.checked_mul(Decimal::from(10_i64.pow(exponent))).ok_or_else(|| MoneyError::OutOfRange(short()))?;
        if !minor.fract().is_zero() {
            return Err(MoneyError::TooPrecise(short(), exponent, currency.to_string()));
        }
        let amount = i64::try_from(minor.trunc()).map_err(|_| MoneyError::OutOfRange(short()))?;
        if !(0..=MAX_AMOUNT).contains(&amount) {
            return Err(MoneyError::OutOfRange(short()));
        }
        Ok(Self { amount, currency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_amounts_become_exact_minor_units() {
        let inr: Currency = "INR".parse().unwrap();
        let jpy: Currency = "JPY".parse().unwrap();
        let kwd: Currency = "KWD".parse().unwrap();
        assert_eq!(Money::from_decimal("129.5", inr).unwrap().amount, 12_950);
        assert_eq!(Money::from_decimal(" 0.10 ", inr).unwrap().amount, 10);
        assert_eq!(Money::from_decimal("129.500", inr).unwrap().amount, 12_950);
        assert_eq!(Money::from_decimal("500", jpy).unwrap().amount, 500);
        assert_eq!(Money::from_decimal("1.234", kwd).unwrap().amount, 1_234);
    }

    #[test]
    fn amounts_that_would_lose_something_are_refused() {
        let inr: Currency = "INR".parse().unwrap();
        for bad in ["1.005", "-1", "NaN", "inf", "", "12,50", "1e30", "99999999999999999999999999999999"] {
            assert!(Money::from_decimal(bad, inr).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_iso_4217_codes_in_capitals_are_currencies() {
        assert!("EUR".parse::<Currency>().is_ok());
        for bad in ["eur", "EU", "EURO", "ZZZ", "", "€"] {
            assert!(bad.parse::<Currency>().is_err(), "{bad}");
        }
    }
}
