//! How much goes on at once, in all and to each group of hosts, and whom to leave alone for a while.
//!
//! Whoever has to wait waits for the group first and for the common room last, and for the common room only once a host
//! is there: so a slow or dead destination holds its own lanes and nobody else's.
//!
//! A group begins with few lanes, gets one more for each mail that is taken, and half of them when a host asks us to
//! slow down; from there on they grow by one for as many mails as there are lanes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use types::Timestamp;

use super::WorkerConfig;
use crate::{Handover, Reply, Way};

pub(super) struct Groups {
    running: Arc<Semaphore>,
    memory_kib: Arc<Semaphore>,
    memory_limit_kib: u32,
    per_group: usize,
    first_lanes: usize,
    /// Room for what is claimed, and how much of it is kept free for groups that have little: while that is there, as many
    /// may wait for a group as like to; then only its `share` may.
    in_hand: Arc<Semaphore>,
    reserve: usize,
    share: usize,
    /// Whatever is free, no group has more.
    most: usize,
    groups: Mutex<HashMap<String, Arc<Group>>>,
    silent: Mutex<HashMap<String, Silence>>,
    /// The first silence and the longest: no longer than a mail would wait by the schedule.
    silences: [Duration; 2],
}

/// What goes to one group.
struct Group {
    lanes: Arc<Semaphore>,
    pace: Mutex<Pace>,
    /// Whoever waits for its turn by the rate limit.
    pub(super) turnstile: tokio::sync::Mutex<()>,
}

struct Pace {
    /// Lanes as they should be, and as they are.
    wanted: usize,
    there: usize,
    /// From here on it grows slowly.
    careful_from: usize,
    /// Mails since the last lane was added.
    taken: usize,
    /// When the mails of the last round began to be taken, and how many there were since.
    round_began: Timestamp,
    round: u32,
    /// How long a mail takes the group as a whole.
    per_mail: Duration,
    /// Up to when whoever was put off has been told to come back.
    put_off_until: Timestamp,
    used_at: Timestamp,
}

/// The right to deliver to a group; it ends when dropped.
pub(super) struct Place {
    group: Arc<Group>,
    lane: Option<OwnedSemaphorePermit>,
}

/// So much is on its way to the group that no more should wait for it here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crowded {
    /// When there should be room.
    pub(super) until: Timestamp,
}

/// Hosts that did not answer.
struct Silence {
    until: Timestamp,
    times: u32,
    reply: Reply,
}

const SHORTEST_SILENCE: Duration = Duration::from_secs(15);
const LONGEST_SILENCE: Duration = Duration::from_secs(5 * 60);
/// What is known of a group or of silent hosts is forgotten after this.
const FORGET: Duration = Duration::from_secs(15 * 60);
/// Before it is known how fast a group is.
const FIRST_GUESS: Duration = Duration::from_millis(50);
const LEAST_PER_MAIL: Duration = Duration::from_millis(1);
const ROUND: u32 = 20;
const SHORTEST_PUT_OFF: Duration = Duration::from_millis(250);
const LONGEST_PUT_OFF: Duration = Duration::from_secs(10 * 60);
/// Groups and silences are tidied up when there are so many.
const MANY: usize = 1_000;

impl Groups {
    /// `in_hand` is the room for what is claimed, as much as the configuration says.
    pub(super) fn new(config: &WorkerConfig, in_hand: &Arc<Semaphore>) -> Self {
        let memory_limit_kib = u32::try_from(config.memory_bytes / 1024).unwrap_or(u32::MAX).max(1);
        let per_group = config.per_destination.max(1);
        let waits = &config.schedule.delays;
        let silences = [
            waits.iter().min().map_or(SHORTEST_SILENCE, |wait| SHORTEST_SILENCE.min(*wait)),
            waits.iter().max().map_or(LONGEST_SILENCE, |wait| LONGEST_SILENCE.min(*wait)),
        ];
        Self {
            running: Arc::new(Semaphore::new(config.concurrency.max(1))),
            memory_kib: Arc::new(Semaphore::new(usize::try_from(memory_limit_kib).unwrap_or(1))),
            memory_limit_kib,
            per_group,
            first_lanes: config.first_connections.clamp(1, per_group),
            in_hand: Arc::clone(in_hand),
            reserve: config.in_hand.div_ceil(4),
            most: config.in_hand.div_ceil(2),
            share: (config.in_hand / 16).max(per_group),
            groups: Mutex::default(),
            silent: Mutex::default(),
            silences,
        }
    }

    /// Waits for a place.
    pub(super) async fn enter(&self, name: &str, now: Timestamp) -> Result<Place, Crowded> {
        let group = self.group(name, now);
        // Everybody who waits or delivers holds the group; so does the table.
        let is_scarce = self.in_hand.available_permits() < self.reserve;
        let share = if is_scarce { self.share } else { self.most };
        if Arc::strong_count(&group) > share + 1 {
            return Err(group.pace().put_off(now));
        }
        let lane = Arc::clone(&group.lanes).acquire_owned().await;
        let lane = lane.map_err(|_| Crowded { until: now.plus(SHORTEST_PUT_OFF) })?;
        Ok(Place { group, lane: Some(lane) })
    }

    /// Waits until one more may be sending, whoever to.
    pub(super) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.running).acquire_owned().await.ok()
    }

    /// Waits until there is memory for so many bytes, or for as many as there is at all.
    pub(super) async fn memory(&self, size_bytes: u64) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(size_bytes / 1024 + 1).unwrap_or(u32::MAX).min(self.memory_limit_kib);
        Arc::clone(&self.memory_kib).acquire_many_owned(kib).await.ok()
    }

    /// Why these hosts are not to be bothered now.
    pub(super) fn silence(&self, way: &Way, now: Timestamp) -> Option<Reply> {
        let silent = lock(&self.silent);
        let silence = silent.get(&way.hosts()).filter(|silence| silence.until > now)?;
        Some(silence.reply.clone())
    }

    /// Learns from a delivery.
    pub(super) fn learn(&self, place: &Place, way: &Way, handover: &Handover, now: Timestamp) {
        let (away, slower) = match handover {
            Handover::Answered { slower, .. } => (None, *slower),
            Handover::Away { reply, slower } => (Some(reply), *slower),
            Handover::Unloaded => return,
        };
        if slower {
            place.group.slow_down();
        } else if away.is_none() {
            place.group.taken(self.per_group, now);
        }
        let mut silent = lock(&self.silent);
        let Some(reply) = away else {
            silent.remove(&way.hosts());
            return;
        };
        if silent.len() >= MANY {
            silent.retain(|_, silence| silence.until.plus(FORGET) > now);
        }
        let first = Silence { until: now, times: 0, reply: reply.clone() };
        let silence = silent.entry(way.hosts()).or_insert(first);
        // Several were on their way when the first of them found out.
        if silence.times == 0 || silence.until <= now {
            let [shortest, longest] = self.silences;
            let doubled = shortest.saturating_mul(1 << silence.times.min(10));
            silence.times = silence.times.saturating_add(1);
            silence.until = now.plus(doubled.min(longest));
            silence.reply = reply.clone();
        }
    }

    fn group(&self, name: &str, now: Timestamp) -> Arc<Group> {
        let mut groups = lock(&self.groups);
        if let Some(group) = groups.get(name) {
            group.pace().used_at = now;
            return Arc::clone(group);
        }
        if groups.len() >= MANY {
            groups.retain(|_, group| Arc::strong_count(group) > 1 || group.pace().used_at.plus(FORGET) > now);
        }
        let group = Arc::new(Group::new(self.first_lanes, self.per_group, now));
        groups.insert(name.to_owned(), Arc::clone(&group));
        group
    }
}

impl Group {
    fn new(lanes: usize, most: usize, now: Timestamp) -> Self {
        let pace = Pace {
            wanted: lanes,
            there: lanes,
            careful_from: most,
            taken: 0,
            round_began: now,
            round: 0,
            per_mail: FIRST_GUESS,
            put_off_until: now,
            used_at: now,
        };
        Self {
            lanes: Arc::new(Semaphore::new(lanes)),
            pace: Mutex::new(pace),
            turnstile: tokio::sync::Mutex::default(),
        }
    }

    fn taken(&self, most: usize, now: Timestamp) {
        let mut pace = self.pace();
        pace.measure(now);
        pace.taken += 1;
        let needed = if pace.wanted < pace.careful_from { 1 } else { pace.wanted };
        if pace.wanted < most && pace.taken >= needed {
            pace.taken = 0;
            pace.wanted += 1;
            if pace.there < pace.wanted {
                pace.there += 1;
                self.lanes.add_permits(1);
            }
        }
    }

    fn slow_down(&self) {
        let mut pace = self.pace();
        pace.wanted = (pace.wanted / 2).max(1);
        pace.careful_from = pace.wanted;
        pace.taken = 0;
        // Lanes that are in use go when they are left.
        let too_many = pace.there.saturating_sub(pace.wanted);
        pace.there -= self.lanes.forget_permits(too_many);
    }

    fn leave(&self, lane: OwnedSemaphorePermit) {
        let mut pace = self.pace();
        if pace.there > pace.wanted {
            pace.there -= 1;
            lane.forget();
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        lock(&self.pace)
    }
}

impl Pace {
    fn measure(&mut self, now: Timestamp) {
        self.round += 1;
        if self.round >= ROUND {
            // Lanes that end together would make a round of no time at all.
            let measured = now.since(self.round_began) / self.round;
            self.per_mail = ((self.per_mail + measured) / 2).max(LEAST_PER_MAIL);
            (self.round, self.round_began) = (0, now);
        }
    }

    /// One after the other, so that not all of them are back at the same time; at twice the pace of the group, or it would
    /// never turn out to be faster: what it was given is all that it can have taken.
    fn put_off(&mut self, now: Timestamp) -> Crowded {
        let earliest = now.plus(SHORTEST_PUT_OFF);
        let next = self.put_off_until.plus(self.per_mail / 2);
        self.put_off_until = next.max(earliest);
        if self.put_off_until > now.plus(LONGEST_PUT_OFF) {
            self.put_off_until = earliest;
        }
        Crowded { until: self.put_off_until }
    }
}

impl Place {
    /// Lets the holders of places pass one at a time.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.group.turnstile.lock().await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(lane) = self.lane.take() {
            self.group.leave(lane);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::{Schedule, Target};

    const START: Timestamp = Timestamp::from_seconds(1_000_000);

    fn groups(in_hand: usize, first_connections: usize, per_destination: usize) -> Groups {
        of(&WorkerConfig { in_hand, first_connections, per_destination, ..WorkerConfig::default() })
    }

    fn of(config: &WorkerConfig) -> Groups {
        Groups::new(config, &Arc::new(Semaphore::new(config.in_hand)))
    }

    fn way(host: &str) -> Way {
        Way::to(vec![Target::new(host, ([192, 0, 2, 1], 25).into())])
    }

    fn taken() -> Handover {
        Handover::Answered { outcomes: Vec::new(), slower: false, notifies: false }
    }

    fn away(slower: bool) -> Handover {
        Handover::Away { reply: Reply::ours("4.4.1", "away"), slower }
    }

    #[tokio::test]
    async fn a_slow_group_holds_its_own_lanes_only() {
        let groups = groups(16, 2, 3);
        let claim = |count| Arc::clone(&groups.in_hand).try_acquire_many_owned(count).unwrap();
        let _claimed = claim(12);
        let _first = groups.enter("slow.test", START).await.ok().unwrap();
        let second = groups.enter("slow.test", START).await.ok().unwrap();
        let mut waiting = Box::pin(groups.enter("slow.test", START));
        assert!(waiting.as_mut().now_or_never().is_none(), "both lanes are taken");
        let mut roomy = Box::pin(groups.enter("slow.test", START));
        assert!(roomy.as_mut().now_or_never().is_none(), "there is room for more than its share");
        drop(roomy);
        let _more = claim(1);
        let crowded = groups.enter("slow.test", START).now_or_never();
        assert!(matches!(crowded, Some(Err(Crowded { .. }))), "three is its share");
        assert!(matches!(groups.enter("other.test", START).now_or_never(), Some(Ok(_))));
        drop(second);
        assert!(matches!(waiting.now_or_never(), Some(Ok(_))));
    }

    /// How many places there are at once.
    fn lanes(groups: &Groups) -> usize {
        let mut places = Vec::new();
        while let Some(Ok(place)) = groups.enter("g", START).now_or_never() {
            places.push(place);
        }
        places.len()
    }

    #[tokio::test]
    async fn lanes_grow_with_success_and_are_halved_when_asked() {
        let groups = groups(1_000, 2, 8);
        assert_eq!(lanes(&groups), 2);
        let learn = |handover: &Handover| {
            let place = groups.enter("g", START).now_or_never().unwrap().ok().unwrap();
            groups.learn(&place, &way("mx.test"), handover, START);
        };
        learn(&taken());
        assert_eq!(lanes(&groups), 3);
        for _ in 0..20 {
            learn(&taken());
        }
        assert_eq!(lanes(&groups), 8, "and no more");
        learn(&away(true));
        assert_eq!(lanes(&groups), 4);
        (0..3).for_each(|_| learn(&taken()));
        assert_eq!(lanes(&groups), 4, "carefully now");
        learn(&taken());
        assert_eq!(lanes(&groups), 5);
        learn(&away(false));
        assert_eq!(lanes(&groups), 5, "a host that is not there says nothing of the group");
        (0..9).for_each(|_| learn(&away(true)));
        assert_eq!(lanes(&groups), 1);
    }

    #[tokio::test]
    async fn lanes_in_use_go_when_they_are_left() {
        let groups = groups(1_000, 4, 4);
        let mut places = Vec::new();
        for _ in 0..4 {
            places.push(groups.enter("g", START).await.ok().unwrap());
        }
        groups.learn(&places[0], &way("mx.test"), &away(true), START);
        drop(places);
        assert_eq!(lanes(&groups), 2);
    }

    #[tokio::test]
    async fn hosts_that_are_away_are_left_alone_for_longer_and_longer() {
        let groups = groups(1_000, 4, 4);
        let place = groups.enter("g", START).await.ok().unwrap();
        let (dead, alive) = (way("dead.test"), way("alive.test"));
        let mut now = START;
        for seconds in [15, 30, 60, 120, 240, 300, 300] {
            groups.learn(&place, &dead, &away(false), now);
            groups.learn(&place, &dead, &away(false), now);
            let last = now.plus(Duration::from_secs(seconds - 1));
            assert_eq!(groups.silence(&dead, last).unwrap().status(), "4.4.1");
            assert_eq!(groups.silence(&alive, last), None);
            now = now.plus(Duration::from_secs(seconds));
            assert_eq!(groups.silence(&dead, now), None);
        }
        groups.learn(&place, &dead, &away(false), now);
        groups.learn(&place, &dead, &taken(), now);
        assert_eq!(groups.silence(&dead, now), None);
    }

    #[tokio::test]
    async fn no_silence_is_longer_than_the_schedules_waits() {
        let schedule = Schedule { delays: vec![Duration::from_secs(1), Duration::from_secs(3)] };
        let groups = of(&WorkerConfig { schedule, ..WorkerConfig::default() });
        let place = groups.enter("g", START).await.ok().unwrap();
        let (dead, mut now) = (way("dead.test"), START);
        for seconds in [1, 2, 3, 3] {
            groups.learn(&place, &dead, &away(false), now);
            assert!(groups.silence(&dead, now).is_some());
            now = now.plus(Duration::from_secs(seconds));
            assert_eq!(groups.silence(&dead, now), None);
        }
    }

    #[test]
    fn who_is_put_off_comes_back_one_after_the_other() {
        let group = Group::new(1, 1, START);
        let mut now = START;
        for _ in 0..ROUND * 12 {
            now = now.plus(Duration::from_millis(500));
            group.taken(1, now);
        }
        let measured = std::mem::replace(&mut group.pace().per_mail, Duration::from_millis(500));
        assert!((450..=500).contains(&measured.as_millis()), "{measured:?}");
        let times: Vec<_> = (0..4).map(|_| group.pace().put_off(now).until.since(now).as_millis()).collect();
        assert_eq!(times, [250, 500, 750, 1_000]);
        // So many at once are no measure.
        (0..ROUND * 20).for_each(|_| group.taken(1, now));
        assert_eq!(group.pace().per_mail, LEAST_PER_MAIL);
    }

    #[tokio::test]
    async fn a_mail_larger_than_the_memory_goes_alone() {
        let groups = of(&WorkerConfig { memory_bytes: 10 << 10, ..WorkerConfig::default() });
        let small = groups.memory(100).await.unwrap();
        assert!(groups.memory(1 << 30).now_or_never().is_none());
        drop(small);
        assert!(groups.memory(1 << 30).now_or_never().flatten().is_some());
    }
}
