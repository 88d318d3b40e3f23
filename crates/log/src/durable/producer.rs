//! Idempotent producers: what was appended once is not appended again, and who was replaced is fenced off.
//!
//! Durable Streams protocol 1.0, §5.2.1.

use streamnest_core::Producer;

use crate::Error;

/// How far a producer has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Session {
    pub(crate) epoch: u64,
    /// The last request that was appended.
    pub(crate) seq: u64,
}

/// Whether a request is a new one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    New,
    Duplicate,
}

impl Session {
    /// Reads what [`to_text`](Self::to_text) wrote.
    pub(crate) fn from_text(text: &[u8]) -> Option<Self> {
        let (epoch, seq) = std::str::from_utf8(text).ok()?.split_once(' ')?;
        Some(Self { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
    }

    pub(crate) fn to_text(self) -> String {
        format!("{} {}", self.epoch, self.seq)
    }

    /// Judges a request of a producer that has come as far as `session`, or is new here.
    pub(crate) fn judge(session: Option<Self>, request: &Producer) -> Result<Verdict, Error> {
        let gap = |expected| Err(Error::ProducerGap { expected, received: request.seq });
        match session {
            None if request.seq == 0 => Ok(Verdict::New),
            None => gap(0),
            Some(Self { epoch, .. }) if request.epoch < epoch => Err(Error::ProducerFenced { epoch }),
            Some(Self { epoch, .. }) if request.epoch > epoch && request.seq == 0 => Ok(Verdict::New),
            Some(Self { epoch, .. }) if request.epoch > epoch => {
                Err(Error::ProducerEpochStart { epoch: request.epoch })
            }
            Some(Self { seq, .. }) if request.seq <= seq => Ok(Verdict::Duplicate),
            Some(Self { seq, .. }) if request.seq == seq + 1 => Ok(Verdict::New),
            Some(Self { seq, .. }) => gap(seq + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(session: Option<(u64, u64)>, epoch: u64, seq: u64) -> Result<Verdict, Error> {
        let session = session.map(|(epoch, seq)| Session { epoch, seq });
        Session::judge(session, &Producer { id: "p".into(), epoch, seq })
    }

    #[test]
    fn a_session_counts_from_zero_without_gaps() {
        assert!(matches!(judge(None, 0, 0), Ok(Verdict::New)));
        assert!(matches!(judge(None, 7, 0), Ok(Verdict::New)));
        assert!(matches!(judge(None, 0, 1), Err(Error::ProducerGap { expected: 0, received: 1 })));
        assert!(matches!(judge(Some((0, 4)), 0, 5), Ok(Verdict::New)));
        assert!(matches!(judge(Some((0, 4)), 0, 6), Err(Error::ProducerGap { expected: 5, received: 6 })));
    }

    #[test]
    fn what_came_before_is_a_duplicate() {
        for seq in 0..=4 {
            assert!(matches!(judge(Some((2, 4)), 2, seq), Ok(Verdict::Duplicate)), "{seq}");
        }
    }

    #[test]
    fn a_new_session_begins_at_zero_and_fences_off_the_one_before() {
        assert!(matches!(judge(Some((2, 4)), 3, 0), Ok(Verdict::New)));
        assert!(matches!(judge(Some((2, 4)), 3, 1), Err(Error::ProducerEpochStart { epoch: 3 })));
        assert!(matches!(judge(Some((2, 4)), 1, 5), Err(Error::ProducerFenced { epoch: 2 })));
    }

    #[test]
    fn a_session_reads_back() {
        let session = Session { epoch: 3, seq: (1 << 53) - 1 };
        assert_eq!(Session::from_text(session.to_text().as_bytes()), Some(session));
        assert_eq!(Session::from_text(b"3"), None);
        assert_eq!(Session::from_text(b"3 x"), None);
    }
}
