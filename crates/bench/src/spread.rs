//! The median of some rounds, with the smallest and the largest.

/// What some rounds came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// `None` if there was no round.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let (low, high) = (values.get((values.len() - 1) / 2)?, values.get(values.len() / 2)?);
        Some(Self { median: f64::midpoint(*low, *high), least, most })
    }

    pub(crate) fn show(&self, decimals: usize) -> String {
        format!("{:.decimals$} ({:.decimals$}–{:.decimals$})", self.median, self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_median_and_spread_of_odd_and_even_counts() {
        let show = |values: &[f64]| Spread::of(values.iter().copied()).map(|spread| spread.show(1));
        assert_eq!(show(&[3.0, 1.0, 2.0]).as_deref(), Some("2.0 (1.0–3.0)"));
        assert_eq!(show(&[4.0, 1.0, 2.0, 3.0]).as_deref(), Some("2.5 (1.0–4.0)"));
        assert_eq!(show(&[]), None);
    }
}
