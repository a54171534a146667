//! Numbers as the kernel prints them.

use std::fmt;
use std::num::NonZeroU8;

/// A number as the kernel prints it: digits with a decimal point somewhere, or nothing at all.
///
/// Kernel files hold integers and short decimals, never binary fractions. Keeping the digits makes output exact
/// (`0.1` stays `0.1`) and needs no floating-point formatting, which is slow on small cores and large in the binary.
///
/// Two numbers, so that functions return it in two registers, as they do an `Option<Value>`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value {
    digits: u64,
    /// The places behind the point, and the bits below.
    form: NonZeroU8,
}

const NEGATIVE: u8 = 1 << 5;
const PRESENT: u8 = 1 << 6;

/// Returns a form, which is never 0.
const fn form(bits: u8) -> NonZeroU8 {
    match NonZeroU8::new(bits | 1 << 7) {
        Some(form) => form,
        None => NonZeroU8::MIN,
    }
}

impl Default for Value {
    fn default() -> Self {
        Value::ABSENT
    }
}

impl Value {
    /// The most bytes that a number takes as text.
    pub const LONGEST: usize = 24;
    /// The most places behind the point.
    const MOST_PLACES: u8 = 20;

    /// No value: the sample is absent from every output.
    pub const ABSENT: Value = Value { digits: 0, form: form(0) };

    /// Returns `digits` divided by 10 to the power of `places`, which are 20 at most.
    pub const fn decimal(digits: u64, places: u8) -> Self {
        debug_assert!(places <= Value::MOST_PLACES);
        Value { digits, form: form(PRESENT | places) }
    }

    /// Returns the same as [`Value::decimal`] for numbers that may be negative.
    pub const fn signed(digits: i64, places: u8) -> Self {
        debug_assert!(places <= Value::MOST_PLACES);
        let sign = if digits < 0 { NEGATIVE } else { 0 };
        Value { digits: digits.unsigned_abs(), form: form(PRESENT | sign | places) }
    }

    /// Parses a number such as `0.52`, digit for digit: no sign, no exponent, at most 9 places.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let push = |number: u64, byte: &u8| {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 { None } else { number.checked_mul(10)?.checked_add(u64::from(digit)) }
        };
        let point = text.iter().position(|&byte| byte == b'.');
        let (whole, fraction) = point.map_or((text, None), |point| (&text[..point], Some(&text[point + 1..])));
        if whole.is_empty() || fraction.is_some_and(|fraction| fraction.is_empty() || fraction.len() > 9) {
            return None;
        }
        let fraction = fraction.unwrap_or_default();
        let digits = whole.iter().chain(fraction).try_fold(0, push)?;
        Some(Value::decimal(digits, fraction.len() as u8))
    }

    /// Returns a span of time in seconds, to the microsecond.
    pub fn seconds(span: std::time::Duration) -> Self {
        Value::decimal(u64::try_from(span.as_micros()).unwrap_or(u64::MAX), 6)
    }

    /// Returns the number `factor` times; stays at the largest one that fits.
    pub const fn times(self, factor: u64) -> Self {
        Value { digits: self.digits.saturating_mul(factor), ..self }
    }

    /// Returns the number divided by 10 to the power of `places`, as far as there is room for them.
    pub const fn shifted(self, places: u8) -> Self {
        debug_assert!(self.places() + places <= Value::MOST_PLACES);
        Value { form: form(self.form.get() + places), ..self }
    }

    /// Returns the number with the other sign.
    pub const fn negated(self) -> Self {
        Value { form: form(self.form.get() ^ NEGATIVE), ..self }
    }

    /// Returns whether the number is below zero.
    pub const fn is_negative(self) -> bool {
        self.form.get() & NEGATIVE != 0 && self.digits > 0
    }

    /// Returns whether there is a number.
    pub const fn is_present(self) -> bool {
        self.form.get() & PRESENT != 0
    }

    const fn places(self) -> u8 {
        self.form.get() & (NEGATIVE - 1)
    }

    /// Returns the nearest floating-point number, for charts; `None` if absent.
    pub fn to_f64(self) -> Option<f64> {
        const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
        let power = POWERS.get(usize::from(self.places())).copied().unwrap_or(1e9);
        let magnitude = self.digits as f64 / power;
        self.is_present().then_some(if self.is_negative() { -magnitude } else { magnitude })
    }

    /// Appends the number as decimal text, without trailing zeros behind the point; nothing if absent.
    pub fn write(self, out: &mut Vec<u8>) {
        if self.is_present() {
            let mut text = [0; Value::LONGEST];
            let length = self.text(&mut text);
            out.extend_from_slice(&text[..length]);
        }
    }

    /// The same as [`Value::put`], in the binary once for all callers that can afford a call.
    #[inline(never)]
    #[cfg_attr(small, optimize(speed))]
    pub fn text(self, out: &mut [u8; Value::LONGEST]) -> usize {
        self.put(out)
    }

    /// Puts the number's text in front of `out`, and anything behind it. Returns the text's length.
    #[inline(always)]
    #[cfg_attr(small, optimize(speed))]
    pub fn put(self, out: &mut [u8; Value::LONGEST]) -> usize {
        // Most errors, drops and shares are zero.
        if self.digits == 0 {
            out[0] = b'0';
            return 1;
        }
        let (mut digits, mut places) = (self.digits, self.places());
        while places > 0 && digits % 10 == 0 {
            digits /= 10;
            places -= 1;
        }
        // The text ends in the middle, so that what is copied always has the same length, which takes the fewest instructions.
        let mut text = [0; 2 * Value::LONGEST];
        let mut at = Value::LONGEST;
        if places > 0 {
            for _ in 0..places {
                at -= 1;
                text[at] = b'0' + (digits % 10) as u8;
                digits /= 10;
            }
            at -= 1;
            text[at] = b'.';
        }
        while digits >= 100 {
            at -= 2;
            text[at..at + 2].copy_from_slice(&PAIRS[(digits % 100) as usize]);
            digits /= 100;
        }
        if digits >= 10 {
            at -= 2;
            text[at..at + 2].copy_from_slice(&PAIRS[digits as usize]);
        } else {
            at -= 1;
            text[at] = b'0' + digits as u8;
        }
        if self.form.get() & NEGATIVE != 0 {
            at -= 1;
            text[at] = b'-';
        }
        out.copy_from_slice(&text[at..at + Value::LONGEST]);
        Value::LONGEST - at
    }
}

/// The numbers from 0 to 99 as text.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.write(&mut text);
        f.write_str(if self.is_present() { std::str::from_utf8(&text).unwrap_or("?") } else { "absent" })
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::decimal(number, 0)
    }
}

impl From<bool> for Value {
    fn from(state: bool) -> Self {
        Value::decimal(u64::from(state), 0)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::ABSENT, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Value) -> String {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_print_as_the_shortest_exact_decimal() {
        for (value, expected) in [
            (Value::decimal(0, 0), "0"),
            (Value::decimal(0, 2), "0"),
            (Value::decimal(5, 2), "0.05"),
            (Value::decimal(50, 2), "0.5"),
            (Value::decimal(100, 2), "1"),
            (Value::decimal(12_345, 3), "12.345"),
            (Value::decimal(10, 0), "10"),
            (Value::decimal(100, 0), "100"),
            (Value::decimal(1_002_003, 2), "10020.03"),
            (Value::decimal(1_000_000, 0), "1000000"),
            (Value::decimal(1, 9), "0.000000001"),
            (Value::decimal(u64::MAX, 0), "18446744073709551615"),
            (Value::decimal(u64::MAX, 2), "184467440737095516.15"),
            (Value::decimal(7, 19), "0.0000000000000000007"),
            (Value::decimal(u64::MAX, 20), "0.18446744073709551615"),
            (Value::signed(-7, 20), "-0.00000000000000000007"),
            (Value::signed(-61, 0), "-61"),
            (Value::signed(-5, 1), "-0.5"),
            (Value::signed(0, 1), "0"),
            (Value::signed(i64::MIN, 0), "-9223372036854775808"),
            (Value::ABSENT, ""),
        ] {
            assert_eq!(text(value), expected, "{value:?}");
        }
    }

    #[test]
    fn values_are_parsed_digit_for_digit_or_not_at_all() {
        assert_eq!(Value::parse(b"0.52"), Some(Value::decimal(52, 2)));
        assert_eq!(Value::parse(b"12"), Some(Value::decimal(12, 0)));
        for bad in ["", ".", "1.", ".5", "1.2.3", "-1.0", "+1", "1.+5", "nan", "0.1234567890", "18446744073709551615.0"]
        {
            assert_eq!(Value::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn values_read_back_as_the_number_they_came_from() {
        let mut state = 1_u64;
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (digits, places) = (state >> (state % 64), (state >> 32) as u8 % 10);
            let printed = text(Value::decimal(digits, places));
            let expected = digits as f64 / 10_f64.powi(i32::from(places));
            let got: f64 = printed.parse().unwrap();
            assert!((got - expected).abs() <= expected * 1e-15, "{digits} {places}: {printed}");
            assert!((Value::decimal(digits, places).to_f64().unwrap() - expected).abs() <= expected * 1e-15);
        }
    }
}
