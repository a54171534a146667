//! Decimal numbers as the nearest 64-bit floating-point numbers.
//!
//! The standard library's parser does the same, and has tables of 10 kB.

/// More digits than these decide nothing but whether there are any.
const DIGITS_MAX: i32 = 800;
/// The largest number is 1.8e308, the smallest is 5e-324.
const EXPONENTS: std::ops::Range<i32> = -330..311;

/// Returns the number that lies nearest, `None` if `text` is no number. A NaN is Prometheus's.
pub fn parse_number(text: &[u8]) -> Option<f64> {
    /// What Go's `math.NaN()` returns.
    const NAN: u64 = 0x7ff8_0000_0000_0001;
    if text.eq_ignore_ascii_case(b"nan") {
        return Some(f64::from_bits(NAN));
    }
    let mut rest = text;
    let is_negative = take_sign(&mut rest);
    let mut value = f64::INFINITY;
    if !rest.eq_ignore_ascii_case(b"inf") {
        // The number is `whole` * 10^exponent.
        let (mut whole, mut digits, mut exponent) = (Vec::new(), 0, 0_i32);
        let (mut is_any, mut behind) = (false, false);
        while let [byte, tail @ ..] = rest {
            match byte {
                b'.' if !behind => behind = true,
                b'0'..=b'9' => {
                    is_any = true;
                    let digit = u32::from(byte - b'0');
                    exponent -= i32::from(behind);
                    if digits < DIGITS_MAX {
                        multiply(&mut whole, 10, digit);
                        digits += i32::from(!whole.is_empty());
                    } else {
                        exponent += 1;
                        whole[0] |= u32::from(digit > 0);
                    }
                }
                _ => break,
            }
            rest = tail;
        }
        if let [b'e' | b'E', tail @ ..] = rest {
            rest = tail;
            let is_down = take_sign(&mut rest);
            let mut power = 0_i32;
            is_any &= !rest.is_empty();
            while let [byte @ b'0'..=b'9', tail @ ..] = rest {
                power = (power * 10 + i32::from(byte - b'0')).min(99_999);
                rest = tail;
            }
            exponent += if is_down { -power } else { power };
        }
        if !is_any || !rest.is_empty() {
            return None;
        }
        if digits == 0 || digits + exponent < EXPONENTS.start {
            value = 0.0;
        } else if digits + exponent < EXPONENTS.end {
            value = nearest(whole, exponent);
        }
    }
    Some(if is_negative { -value } else { value })
}

/// Takes a sign from the front of `rest`; returns whether it is a minus.
fn take_sign(rest: &mut &[u8]) -> bool {
    let [sign @ (b'-' | b'+'), tail @ ..] = *rest else { return false };
    *rest = tail;
    *sign == b'-'
}

/// Returns the number nearest to `top * 10^exponent`. `top` is not 0.
fn nearest(mut top: Vec<u32>, exponent: i32) -> f64 {
    // A fraction of whole numbers: the bits of its quotient come one by one.
    let mut bottom = vec![1];
    for _ in 0..exponent.abs() {
        multiply(if exponent < 0 { &mut bottom } else { &mut top }, 10, 0);
    }
    let mut weight = length(&top) - length(&bottom);
    for _ in 0..weight.abs() {
        multiply(if weight < 0 { &mut top } else { &mut bottom }, 2, 0);
    }
    let mut bits = 0_u64;
    weight -= 63;
    // The first bit may be 0: then there is one more.
    for place in 0..65 {
        if bits >> 63 == 1 {
            break;
        }
        weight -= i32::from(place == 64);
        bits = bits << 1 | u64::from(subtract(&mut top, &bottom));
        multiply(&mut top, 2, 0);
    }
    // What is left decides at most how a tie is broken.
    bits |= u64::from(top.iter().any(|&limb| limb > 0));
    // Of 64 bits 53 stay, and fewer below the smallest normal number.
    let dropped = (-1074 - weight).max(11);
    if dropped > 64 {
        return 0.0;
    }
    let (mut kept, rest) = (bits.checked_shr(dropped as u32).unwrap_or(0), bits << (64 - dropped));
    const HALF: u64 = 1 << 63;
    kept += u64::from(rest > HALF || rest == HALF && kept & 1 == 1);
    let scale = (weight + dropped + 1074) as u64;
    // A carry moves into the exponent, where it belongs; from the largest one to infinity.
    f64::from_bits(((scale << 52) + kept).min(f64::INFINITY.to_bits()))
}

/// Multiplies a whole number and adds to it, the lowest limb first.
fn multiply(number: &mut Vec<u32>, by: u32, plus: u32) {
    let mut carry = u64::from(plus);
    for limb in number.iter_mut() {
        carry += u64::from(*limb) * u64::from(by);
        *limb = carry as u32;
        carry >>= 32;
    }
    if carry > 0 {
        number.push(carry as u32);
    }
}

/// Returns how many bits a whole number has.
fn length(number: &[u32]) -> i32 {
    number.last().map_or(0, |last| number.len() as i32 * 32 - last.leading_zeros() as i32)
}

/// Subtracts `other` from `number` unless it is larger; returns whether it did.
fn subtract(number: &mut [u32], other: &[u32]) -> bool {
    let limb = |number: &[u32], place: usize| number.get(place).copied().unwrap_or(0);
    let limbs = number.len().max(other.len());
    for place in (0..limbs).rev() {
        let (one, two) = (limb(number, place), limb(other, place));
        if one < two {
            return false;
        }
        if one > two {
            break;
        }
    }
    let mut borrow = false;
    for (place, one) in number.iter_mut().enumerate() {
        let (less, first) = one.overflowing_sub(limb(other, place));
        let (less, second) = less.overflowing_sub(borrow.into());
        *one = less;
        borrow = first || second;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) {
        let expected: f64 = text.parse().unwrap();
        let found = parse_number(text.as_bytes()).unwrap();
        assert_eq!(found.to_bits(), expected.to_bits(), "{text}: expected {expected:e}, found {found:e}");
    }

    #[test]
    fn every_number_is_the_nearest_one() {
        for text in [
            "0",
            "-0",
            "0.0",
            "1",
            "-1.5",
            ".5",
            "5.",
            "00012.50",
            "1e+06",
            "1E6",
            "123456789.123456789",
            "9007199254740993",
            "9223372036854775807",
            "18446744073709551615",
            "12345.678901234",
            "2.2250738585072011e-308",
            "2.2250738585072012e-308",
            "2.2250738585072014e-308",
            "4.9e-324",
            "2.4703282292062327208e-324",
            "2.4703282292062327209e-324",
            "2e-324",
            "1e-400",
            "1.7976931348623157e308",
            "1.7976931348623158e308",
            "1.7976931348623159e308",
            "1e308",
            "1e309",
            "8.5e-323",
            "0.1e-5",
            "1e22",
            "1e23",
            "1e-22",
            "1e-23",
            "0e999999999",
            "1e-999999999",
            "9007199254740992.5",
            "9007199254740993.0000000000000000000000000001",
        ] {
            check(text);
        }
        // Halfway between two numbers, and what tips the scale far behind.
        let half = "1.00000000000000011102230246251565404236316680908203125";
        check(half);
        check(&format!("{half}{}1", "0".repeat(2000)));
        check(&format!("0.{}{half}", "0".repeat(200)).replacen("1.", "1", 1));
        check(&format!("{}e-700", "123456789".repeat(80)));
    }

    #[test]
    fn any_digits_and_exponents() {
        // A generator of Marsaglia's: the same numbers at each run.
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..20_000 {
            let bits = next();
            check(&format!("{}e{}", bits >> (next() % 60), (next() % 660) as i64 - 340));
            check(&format!("{}.{:09}", next() >> (next() % 64), next() % 1_000_000_000));
            let number = f64::from_bits(bits);
            if number.is_finite() {
                check(&format!("{number:e}"));
            }
        }
    }

    #[test]
    fn what_is_no_number() {
        for text in
            ["", "-", "+", ".", "e5", "1e", "1e+", "1x", "1e5x", "0x10", "--1", "1.2.3", "infinit", "1_000", "-nan"]
        {
            assert_eq!(parse_number(text.as_bytes()), None, "{text}");
        }
        let bits = |text: &str| parse_number(text.as_bytes()).map(f64::to_bits);
        assert_eq!(bits("NaN"), Some(0x7ff8_0000_0000_0001));
        assert_eq!(bits("+Inf"), Some(f64::INFINITY.to_bits()));
        assert_eq!(bits("-Inf"), Some(f64::NEG_INFINITY.to_bits()));
    }
}
