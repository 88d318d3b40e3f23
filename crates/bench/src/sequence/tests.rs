use super::*;

fn check(numbers: &[u64], total: u64, expected: Faults) {
    let mut sequence = Sequence::new(3);
    for &number in numbers {
        sequence.note(3, number);
    }
    assert_eq!(sequence.finish(total), (expected, 0), "after {numbers:?} of {total}");
}

#[test]
fn tells_loss_doubling_and_order_apart() {
    check(&[0, 1, 2, 3], 4, Faults::default());
    check(&[0, 1], 4, Faults { lost: 2, ..Faults::default() });
    check(&[0, 3], 4, Faults { lost: 2, ..Faults::default() });
    check(&[0, 1, 1, 2, 0, 3], 4, Faults { doubled: 2, ..Faults::default() });
    check(&[0, 3, 1, 2], 4, Faults { reordered: 2, ..Faults::default() });
    check(&[0, 4, 2, 2], 5, Faults { lost: 2, doubled: 1, reordered: 1, ..Faults::default() });
}

#[test]
fn notices_tokens_of_another_execution() {
    let mut sequence = Sequence::new(3);
    sequence.note(3, 0);
    sequence.note(4, 1);
    assert_eq!(sequence.finish(1).0, Faults { foreign: 1, ..Faults::default() });
}

#[test]
fn a_loss_that_was_told_is_no_silent_one() {
    let mut sequence = Sequence::new(0);
    sequence.note(0, 0);
    sequence.note_gap();
    sequence.note(0, 6);
    assert_eq!(sequence.finish(7), (Faults::default(), 5));
    sequence.note(0, 8);
    assert_eq!(sequence.finish(9), (Faults { lost: 1, ..Faults::default() }, 5), "one gap excuses one jump");
}

#[test]
fn a_gap_at_the_end_is_told_too() {
    let mut sequence = Sequence::new(0);
    sequence.note(0, 0);
    sequence.note_gap();
    assert_eq!(sequence.finish(10), (Faults::default(), 9));
}
