use super::*;

fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage { input_tokens, output_tokens, estimated: false }
}

#[test]
fn prices_are_read_to_the_last_digit_and_written_as_they_are_read() {
    for (text, input, output) in [
        ("gpt-4o-mini=0.15/0.6", 150_000_000, 600_000_000),
        ("org/model:v=1=0.000000001/18446744073.709551615", 1, u64::MAX),
        ("free=0/0", 0, 0),
    ] {
        let price: ModelPrice = text.parse().unwrap();
        assert_eq!(price, ModelPrice::new(text.rsplit_once('=').unwrap().0, input, output));
        assert_eq!(price.to_string(), text);
    }
    assert_eq!(" large = 2.50 / 10.0".parse(), Ok(ModelPrice::new("large", 2_500_000_000, 10_000_000_000)));
    for wrong in [
        "",
        "m",
        "m=1",
        "=1/2",
        "m=1/",
        "m=/2",
        "m=-1/2",
        "m=1e3/2",
        "m=1,5/2",
        "m=.5/2",
        "m=1./2",
        "m=1/2/3",
        "m=0.1234567891/2",
        "m=18446744074/1",
    ] {
        let refused = wrong.parse::<ModelPrice>().unwrap_err();
        assert!(
            refused.contains(&format!("{wrong:?}")) && refused.contains("MODEL=INPUT/OUTPUT"),
            "{refused}"
        );
    }
}

#[test]
fn a_call_comes_to_its_usage_times_the_price_of_its_model() {
    let prices = ["small=0.15/0.6".parse().unwrap(), "dear=0/18446744073".parse().unwrap()];
    let mut cost = Cost::default();
    add(&mut cost, &prices, "small", Some(&usage(1_000, 500)));
    assert_eq!(cost.nano_usd, Some(1_000 * 150 + 500 * 600));
    // What is not known is not free, and does not spoil what is.
    add(&mut cost, &prices, "unknown", Some(&usage(7, 8)));
    add(&mut cost, &prices, "small", None);
    let expected = Cost {
        calls: 3,
        input_tokens: 1_007,
        output_tokens: 508,
        nano_usd: Some(450_000),
        unpriced: 1,
        unreported: 1,
        ..Cost::default()
    };
    assert_eq!((cost, cost.priced()), (expected, 1));
    add(&mut cost, &prices, "dear", Some(&Usage { estimated: true, ..usage(0, u64::MAX) }));
    assert_eq!((cost.nano_usd, cost.output_tokens, cost.estimated), (Some(u64::MAX), u64::MAX, true));
}

#[test]
fn a_price_below_a_nano_usd_is_rounded_to_the_nearest() {
    let price: ModelPrice = "m=0.0004/0".parse().unwrap();
    assert_eq!([0, 1, 2, 3, 5].map(|tokens| price.of(&usage(tokens, 0))), [0, 0, 1, 1, 2]);
}
