//! The lists whose items a node may run over.

use std::collections::VecDeque;

/// A field of the state that `each = "field"` may name.
#[diagnostic::on_unimplemented(
    message = "`each` cannot run over `{Self}`",
    label = "is no list of items",
    note = "the field that `each` names is a `Vec`, a `VecDeque` or an array"
)]
pub trait ItemList {
    /// What it lists.
    type Item;

    /// How many items there are.
    fn count(&self) -> usize;

    /// One of them, from 0.
    fn item(&self, place: usize) -> Option<&Self::Item>;
}

impl<T> ItemList for Vec<T> {
    type Item = T;

    fn count(&self) -> usize {
        self.len()
    }

    fn item(&self, place: usize) -> Option<&T> {
        self.get(place)
    }
}

impl<T> ItemList for VecDeque<T> {
    type Item = T;

    fn count(&self) -> usize {
        self.len()
    }

    fn item(&self, place: usize) -> Option<&T> {
        self.get(place)
    }
}

impl<T, const N: usize> ItemList for [T; N] {
    type Item = T;

    fn count(&self) -> usize {
        N
    }

    fn item(&self, place: usize) -> Option<&T> {
        self.get(place)
    }
}

/// The places of the items of a list, or the item at one of these places.
pub fn items<L: ItemList, P: Pick>(list: &L, pick: P) -> P::Picked<'_, L::Item> {
    pick.pick(list)
}

/// What [`items`] finds in a list.
pub trait Pick {
    /// What is found, where the items are `T`.
    type Picked<'a, T: 'a>;

    /// Finds it.
    fn pick<L: ItemList>(self, list: &L) -> Self::Picked<'_, L::Item>;
}

/// All places.
impl Pick for std::ops::RangeFull {
    type Picked<'a, T: 'a> = Vec<usize>;

    fn pick<L: ItemList>(self, list: &L) -> Vec<usize> {
        (0..list.count()).collect()
    }
}

/// One item.
impl Pick for usize {
    type Picked<'a, T: 'a> = &'a T;

    fn pick<L: ItemList>(self, list: &L) -> &L::Item {
        list.item(self).expect("the places are those of a list that does not change within a visit")
    }
}
