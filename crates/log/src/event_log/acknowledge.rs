//! What named subscriptions of a log have acknowledged.

use streamnest_core::{Appended, AttributeChange, Seq, Timestamp};

use super::{EventLog, State};
use crate::{Acknowledger, Error, subscriptions::Subscriptions};

impl EventLog {
    /// Remembers that the named subscription has everything up to `seq`. An older acknowledgement changes nothing.
    ///
    /// What is remembered survives what the log's attributes survive, and is on its way there when this returns.
    ///
    /// # Errors
    /// [`Error::AcknowledgedAhead`]; [`Error::TooManySubscriptions`] for a new name; [`Error::TooManyAttributes`],
    /// [`Error::AttributesTooLarge`] and [`StoreError::IndexFull`](streamnest_core::StoreError::IndexFull) if the store has no room for it: a new name is not remembered
    /// then, and what is acknowledged under a known one may be undone by the end of the process.
    pub fn acknowledge(&self, subscription: &str, seq: Seq) -> Result<(), Error> {
        self.acknowledge_as(subscription, seq, &Acknowledger::Anyone)
    }

    /// As [`acknowledge`](Self::acknowledge), by somebody.
    ///
    /// # Errors
    /// As [`acknowledge`](Self::acknowledge); [`Error::TooManySubscriptionsOfUser`] for a new name;
    /// [`Error::SubscriptionOfAnother`] for one that is not for them.
    pub fn acknowledge_as(&self, subscription: &str, seq: Seq, by: &Acknowledger) -> Result<(), Error> {
        let now = self.now();
        let mut state = self.lock();
        check_name(&state, subscription, by)?;
        let last = state.last;
        if seq > last {
            return Err(Error::AcknowledgedAhead { seq, last });
        }
        let is_new = state.subscriptions.get(subscription).is_none();
        if is_new {
            self.make_room_for_name(&mut state, by.owner(), now)?;
        }
        state.subscriptions.acknowledge(subscription, seq, by.owner(), now);
        if is_new {
            return self.send_new(&mut state, subscription);
        }
        match self.try_send_acknowledged(&mut state) {
            Err(error) if error.refuses_attributes() && state.subscriptions.owes(subscription) => Err(error),
            Err(error) => {
                self.not_stored(&error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Names that nobody has used for long give way to a new one, where it would be one too many.
    fn make_room_for_name(
        &self,
        state: &mut State,
        owner: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let options = &self.shared.options;
        let (limit, share) = (options.max_subscriptions, options.max_subscriptions_per_user);
        let is_full = |state: &State| state.subscriptions.len() >= limit;
        let has_share = |state: &State| owner.is_some_and(|owner| state.subscriptions.owned(owner) >= share);
        if is_full(state) || has_share(state) {
            let unused = state.subscriptions.unused(now, options.subscription_ttl);
            self.drop_names(state, &unused)?;
        }
        if is_full(state) {
            return Err(Error::TooManySubscriptions { limit });
        }
        if has_share(state) {
            return Err(Error::TooManySubscriptionsOfUser { limit: share });
        }
        Ok(())
    }

    /// Forgets names with one append.
    fn drop_names(&self, state: &mut State, names: &[String]) -> Result<(), Error> {
        let removal = |name: &String| AttributeChange::remove(&Subscriptions::key(name)).ok();
        let changes: Vec<_> = names.iter().filter_map(removal).collect();
        if state.failed.is_none() && !changes.is_empty() {
            self.send_positions(state, changes)?;
        }
        names.iter().for_each(|name| state.subscriptions.forget(name));
        // Who waits until it is durable waits for nothing.
        self.room.notify_waiters();
        Ok(())
    }

    /// Whether somebody may use the name of a subscription: one that is new, their own, or nobody's.
    ///
    /// # Errors
    /// [`Error::SubscriptionOfAnother`].
    pub fn check_subscription(&self, subscription: &str, by: &Acknowledger) -> Result<(), Error> {
        check_name(&self.lock(), subscription, by)
    }

    /// Forgets a named subscription, which makes room for another; whether there was one. Who follows under it goes on, and its next
    /// acknowledgement names it anew.
    ///
    /// # Errors
    /// [`Error::SubscriptionOfAnother`]; [`Error::Store`] if the store did not take it, and then it stays.
    pub fn forget_subscription(&self, subscription: &str, by: &Acknowledger) -> Result<bool, Error> {
        let mut state = self.lock();
        check_name(&state, subscription, by)?;
        if state.subscriptions.get(subscription).is_none() {
            return Ok(false);
        }
        self.drop_names(&mut state, &[subscription.to_owned()]).map(|()| true)
    }

    /// Sends the first position of a subscription at once, whatever is under way: so it has a place in the store before anybody
    /// relies on it, and is forgotten if there is none.
    fn send_new(&self, state: &mut State, subscription: &str) -> Result<(), Error> {
        if state.failed.is_some() {
            return Ok(());
        }
        let change = state.subscriptions.change(subscription);
        match self.send_positions(state, change.into_iter().collect()) {
            Err(error) if error.refuses_attributes() => {
                state.subscriptions.forget(subscription);
                Err(error)
            }
            Err(error) => {
                self.not_stored(&error);
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// As [`acknowledge_as`](Self::acknowledge_as), and waits until that is durable, so that nothing undoes it any more, or the name
    /// is forgotten, which then promises nothing.
    ///
    /// # Errors
    /// As [`acknowledge_as`](Self::acknowledge_as), [`Error::TooManyAttributes`], [`Error::AttributesTooLarge`] and [`Error::Store`]: then it may be
    /// undone by the end of the process.
    ///
    /// # Cancel safety
    /// Safe: it is acknowledged before the first await or not at all.
    pub async fn acknowledge_durably(
        &self,
        subscription: &str,
        seq: Seq,
        by: &Acknowledger,
    ) -> Result<(), Error> {
        self.acknowledge_as(subscription, seq, by)?;
        loop {
            let settled = self.room.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            {
                let mut state = self.lock();
                let durable = state.attributes.durable(&Subscriptions::key(subscription));
                if durable.and_then(|value| Subscriptions::value(value)).is_some_and(|kept| kept >= seq) {
                    return Ok(());
                }
                if let Some(error) = &state.failed {
                    return Err(error.clone());
                }
                if state.subscriptions.get(subscription).is_none() {
                    return Ok(());
                }
                // What was refused before, or came while a change was under way, is sent now.
                let sent = self.try_send_acknowledged(&mut state);
                if state.subscriptions.owes(subscription) {
                    sent?;
                }
            }
            settled.await;
        }
    }

    /// The last entry that the named subscription acknowledged.
    pub fn acknowledged(&self, subscription: &str) -> Option<Seq> {
        self.lock().subscriptions.get(subscription)
    }

    /// Every named subscription with the last entry that it acknowledged and how many visible ones it has not.
    pub fn subscriptions(&self) -> Vec<(String, Seq, u64)> {
        let state = self.lock();
        let told = state.subscriptions.iter();
        told.map(|(name, seq)| (name.to_owned(), seq, state.last.distance_from(seq))).collect()
    }

    /// Sends what is acknowledged to the store, unless a change is under way. What the store refuses now goes along with the
    /// next.
    pub(crate) fn send_acknowledged(&self, state: &mut State) {
        if let Err(error) = self.try_send_acknowledged(state) {
            self.not_stored(&error);
        }
    }

    fn not_stored(&self, error: &Error) {
        let log = self.identity.subject();
        tracing::debug!(log, %error, "acknowledged positions are not stored yet");
    }

    /// A name that the store has no room for keeps no other from being stored.
    fn try_send_acknowledged(&self, state: &mut State) -> Result<(), Error> {
        let changes = state.subscriptions.due(state.attributes.settled());
        if changes.is_empty() || state.failed.is_some() {
            return Ok(());
        }
        let refused = match self.send_positions(state, changes.clone()) {
            Err(error) if error.refuses_attributes() => error,
            sent => return sent.map(drop),
        };
        let is_known = |change: &AttributeChange| state.attributes.durable(&change.key).is_some();
        let known: Vec<_> = changes.iter().filter(|change| is_known(change)).cloned().collect();
        // Those that have their place already go together, and each by itself if even they have grown too much.
        if known.is_empty() || self.send_positions(state, known).is_err() {
            for change in changes {
                if self
                    .send_positions(state, vec![change])
                    .is_ok_and(|appended| appended == Appended::Pending)
                {
                    break;
                }
            }
        }
        Err(refused)
    }

    fn send_positions(&self, state: &mut State, changes: Vec<AttributeChange>) -> Result<Appended, Error> {
        state.attributes.check(&changes, &self.shared.options)?;
        let appended = self.stored.append(self.term, state.accepted, &[], &changes).map_err(Error::Store)?;
        state.subscriptions.sent(&changes, state.attributes.accepted() + 1);
        let number = state.accept_changes(changes);
        if appended == Appended::Durable {
            state.settle_changes(number);
            // Others may wait for what was sent on behalf of this one.
            self.room.notify_waiters();
        }
        Ok(appended)
    }
}

fn check_name(state: &State, subscription: &str, by: &Acknowledger) -> Result<(), Error> {
    match state.subscriptions.may_use(subscription, by) {
        true => Ok(()),
        false => Err(Error::SubscriptionOfAnother { subscription: subscription.into() }),
    }
}
