//! Things in the order in which they came, from which any may be taken.

use std::mem;

/// Things under growing numbers. To put one in costs the same however many there are; to find or to take one costs a search
/// by halves.
#[derive(Debug)]
pub(crate) struct Line<T> {
    /// What was taken leaves a hole, which goes when there are more holes than things.
    places: Vec<(u32, Option<T>)>,
    holes: usize,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { places: Vec::new(), holes: 0 }
    }
}

impl<T> Line<T> {
    pub(crate) const fn len(&self) -> usize {
        self.places.len() - self.holes
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts something in under a number that is greater than all before.
    pub(crate) fn push(&mut self, number: u32, thing: T) {
        if self.places.capacity() == 0 {
            // Most lines hold one thing.
            self.places.reserve_exact(1);
        }
        self.places.push((number, Some(thing)));
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let place = self.place(number)?;
        self.places.get_mut(place)?.1.as_mut()
    }

    pub(crate) fn take(&mut self, number: u32) -> Option<T> {
        let place = self.place(number)?;
        let taken = self.places.get_mut(place)?.1.take()?;
        self.holes += 1;
        if self.holes * 2 > self.places.len() {
            self.places.retain(|(_, thing)| thing.is_some());
            self.holes = 0;
        }
        Some(taken)
    }

    /// Takes all that `which` names, in their order.
    pub(crate) fn take_all(&mut self, which: impl Fn(&T) -> bool) -> Vec<(u32, T)> {
        let mut taken = Vec::new();
        for (number, thing) in mem::take(&mut self.places) {
            match thing {
                Some(thing) if which(&thing) => taken.push((number, thing)),
                Some(thing) => self.places.push((number, Some(thing))),
                None => {}
            }
        }
        self.holes = 0;
        taken
    }

    fn place(&self, number: u32) -> Option<usize> {
        self.places.binary_search_by_key(&number, |(number, _)| *number).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_gone_and_the_rest_stands_in_its_order() {
        let mut line = Line::default();
        for number in 1..=100_u32 {
            line.push(number, number * 10);
        }
        assert_eq!((line.take(50), line.take(50), line.take(500)), (Some(500), None, None));
        for number in (1..=100).filter(|number| number % 3 != 0) {
            line.take(number);
        }
        assert_eq!(line.len(), 33);
        assert!(line.places.len() <= 66, "holes do not gather: {}", line.places.len());
        *line.get_mut(51).unwrap() = 7;
        assert_eq!(line.take_all(|thing| *thing < 100), [(3, 30), (6, 60), (9, 90), (51, 7)]);
        assert_eq!((line.len(), line.is_empty()), (29, false));
    }
}
