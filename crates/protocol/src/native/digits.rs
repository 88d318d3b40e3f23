//! Decimal digits, written without the machinery of `fmt`: every frame holds three numbers.

/// The two digits of 0 to 99, one pair after the other.
const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// The longest `u64`, in digits.
const MAX_DIGITS: usize = 20;

/// The number of digits of `number`.
pub(super) const fn length(number: u64) -> usize {
    match number.checked_ilog10() {
        Some(log) => log as usize + 1,
        None => 1,
    }
}

/// Appends `number` without leading zeros.
pub(super) fn push(number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; MAX_DIGITS];
    fill(number, &mut digits);
    out.extend_from_slice(digits.get(MAX_DIGITS - length(number)..).unwrap_or_default());
}

/// Appends `number` with leading zeros, 16 digits in all, as positions have it.
pub(super) fn push_16(number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 16];
    fill(number, &mut digits);
    out.extend_from_slice(&digits);
}

/// Writes `number` to the end of `digits`, which hold zeros.
fn fill(number: u64, digits: &mut [u8]) {
    let mut rest = number;
    for pair in digits.rchunks_exact_mut(2) {
        let at = (rest % 100) as usize * 2;
        rest /= 100;
        if let Some(two) = PAIRS.get(at..at + 2) {
            pair.copy_from_slice(two);
        }
        if rest == 0 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_fmt() {
        let powers = (0..20).map(|n| 10u64.pow(n));
        for number in powers.flat_map(|n| [n - 1, n, n + 1]).chain([42, 12_345_678, u64::MAX]) {
            let mut out = Vec::new();
            push(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
            assert_eq!(length(number), number.to_string().len());
            if number < 10u64.pow(16) {
                let mut out = Vec::new();
                push_16(number, &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), format!("{number:016}"));
            }
        }
    }
}
