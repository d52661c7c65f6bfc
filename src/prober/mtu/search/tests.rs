use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use web_toolkit::clock;

use super::*;
use crate::{domain::probe::IpVersion, prober::mtu::MtuSettings};

const MINUTE: Duration = Duration::from_mins(1);

/// What the routers on the path say about packets that are too big.
#[derive(Debug, Clone)]
enum Routers {
    Silent,
    Honest,
    /// Each error states the next of these values, again and again.
    Lying(Vec<Option<u32>>),
}

/// A path, the search at its end, and the time.
struct Stage {
    search: MtuSearch,
    now: Instant,
    mtu: u16,
    /// Probability that a packet of any size is lost.
    loss: f64,
    routers: Routers,
    is_down: bool,
    usual: EchoTotals,
    random: u64,
    /// Large packets so far, by size.
    tried: BTreeMap<u16, u32>,
    lies: usize,
}

impl Stage {
    fn new(mtu: u16) -> Self {
        Self::with_limits(mtu, MtuLimits::new(IpVersion::V4, 1_476, MtuSettings::default()))
    }

    fn with_limits(mtu: u16, limits: MtuLimits) -> Self {
        let now = clock::now().instant;
        Self {
            search: MtuSearch::new(limits, now),
            now,
            mtu,
            loss: 0.0,
            routers: Routers::Silent,
            is_down: false,
            usual: EchoTotals::default(),
            random: 1,
            tried: BTreeMap::new(),
            lies: 0,
        }
    }

    /// A number from 0 to 1 (`SplitMix64`).
    fn next_random(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
    }

    fn is_lost(&mut self) -> bool {
        self.is_down || self.next_random() < self.loss
    }

    fn fate(&mut self, size: u16) -> PacketFate {
        if self.is_lost() {
            return PacketFate::Lost;
        }
        if size <= self.mtu {
            return PacketFate::Answered;
        }
        match &self.routers {
            Routers::Silent => PacketFate::Lost,
            Routers::Honest => PacketFate::TooBig(Some(self.mtu.into())),
            Routers::Lying(values) => {
                self.lies += 1;
                PacketFate::TooBig(values[(self.lies - 1) % values.len()])
            }
        }
    }

    /// Echoes of the usual size, one per second, until `until`.
    fn pass_until(&mut self, until: Instant) {
        let seconds = until.saturating_duration_since(self.now).as_secs();
        for _ in 0..seconds {
            if self.is_lost() { self.usual.lost += 1 } else { self.usual.replies += 1 }
        }
        self.now = self.now.max(until);
    }

    /// One round. Returns the size of its large packet.
    fn round(&mut self) -> u16 {
        self.pass_until(self.search.due());
        let size = self.search.begin(self.now, self.usual);
        *self.tried.entry(size).or_default() += 1;
        let (large, small) = (self.fate(size), self.fate(SMALL));
        self.pass_until(self.now + Duration::from_secs(1));
        self.search.finish(MtuRound { large, small, usual: self.usual, ended: self.now });
        size
    }

    fn rounds(&mut self, count: u32) -> Vec<u16> {
        (0..count).map(|_| self.round()).collect()
    }

    fn size(&self) -> Option<u16> {
        self.search.path().size
    }

    /// Rounds until the phase is a watch again, and its last change was a search.
    fn until_found(&mut self) -> u32 {
        let mut rounds = 0;
        while !matches!(self.search.phase, SearchPhase::Search(_)) {
            self.round();
        }
        while matches!(self.search.phase, SearchPhase::Search(_)) {
            self.round();
            rounds += 1;
            assert!(rounds < 100, "the search does not end: {:?}", self.search);
        }
        rounds
    }
}

#[test]
fn while_the_expected_size_passes_two_packets_a_minute_are_sent() {
    let mut stage = Stage::new(1_476);
    let start = stage.now;
    assert_eq!(stage.search.path(), PathMtu::default());
    assert_eq!(stage.rounds(30), [1_476; 30]);
    assert_eq!(stage.search.path(), PathMtu { size: Some(1_476), black_hole: Some(false) });
    assert_eq!(stage.search.due(), start + 30 * MINUTE);
}

#[test]
fn a_smaller_path_is_found_after_three_losses_in_less_than_five_minutes() {
    let mut stage = Stage::new(1_300);
    assert_eq!(stage.rounds(3), [1_476; 3]);
    assert_eq!(stage.size(), None);
    let searched = stage.now;
    let rounds = stage.until_found();
    let found = stage.size().unwrap();
    assert!(found <= 1_300 && 1_300 - found < WIDTH, "{found}");
    assert_eq!(stage.search.path().black_hole, Some(true));
    assert!(rounds <= 18 && stage.now - searched <= 4 * MINUTE, "{rounds} rounds, {:?}", stage.now - searched);
    assert_eq!(stage.rounds(5), [found; 5], "then the size that was found is watched");
}

#[test]
fn two_losses_are_not_enough_and_a_reply_ends_the_row() {
    let mut stage = Stage::new(1_476);
    for _ in 0..10 {
        stage.mtu = 1_000;
        assert_eq!(stage.rounds(2), [1_476; 2]);
        stage.mtu = 1_476;
        assert_eq!(stage.rounds(1), [1_476]);
    }
    assert_eq!(stage.size(), Some(1_476));
}

#[test]
fn an_outage_is_no_matter_of_size() {
    let mut stage = Stage::new(1_476);
    stage.rounds(1);
    stage.is_down = true;
    assert_eq!(stage.rounds(50), [1_476; 50]);
    assert_eq!(stage.search.path(), PathMtu { size: Some(1_476), black_hole: Some(false) });
}

#[test]
fn an_outage_during_a_search_interrupts_it() {
    let mut stage = Stage::new(1_200);
    stage.rounds(6);
    assert!(matches!(stage.search.phase, SearchPhase::Search(_)));
    stage.is_down = true;
    stage.rounds(PAUSES.into());
    assert!(matches!(stage.search.phase, SearchPhase::Watch(_)));
    stage.is_down = false;
    // The echoes that were lost in the outage are long ago.
    stage.rounds(10);
    stage.until_found();
    assert!(stage.size().is_some_and(|found| found <= 1_200 && 1_200 - found < WIDTH), "{:?}", stage.search);
}

#[test]
fn a_search_at_an_address_that_goes_down_is_given_up() {
    let mut stage = Stage::new(1_200);
    stage.rounds(6);
    stage.search.skip(stage.now);
    assert!(matches!(stage.search.phase, SearchPhase::Watch(_)));
    assert_eq!((stage.search.due(), stage.size()), (stage.now + MINUTE, None));
}

#[test]
fn a_restored_path_is_noticed_within_ten_minutes() {
    let mut stage = Stage::new(1_300);
    stage.until_found();
    stage.mtu = 1_476;
    let restored = stage.now;
    while stage.size() != Some(1_476) {
        stage.round();
        assert!(stage.now - restored <= 11 * MINUTE);
    }
    assert_eq!(stage.search.path().black_hole, Some(false));
    assert_eq!(stage.rounds(3), [1_476; 3]);
}

#[test]
fn a_path_that_grows_in_part_is_noticed_and_one_that_does_not_costs_four_packets() {
    let mut stage = Stage::new(1_000);
    stage.until_found();
    let found = stage.size().unwrap();
    stage.tried.clear();
    stage.until_found();
    let tried = |size| stage.tried.get(&size).copied();
    assert_eq!((tried(1_476), tried(found + WIDTH), stage.tried.len()), (Some(2), Some(2), 3), "{:?}", stage.tried);
    assert_eq!(stage.size(), Some(found));
    stage.mtu = 1_400;
    stage.until_found();
    assert!(stage.size().is_some_and(|found| found <= 1_400 && 1_400 - found < WIDTH), "{:?}", stage.search);
}

#[test]
fn a_path_that_shrinks_further_is_searched_again() {
    let mut stage = Stage::new(1_300);
    stage.until_found();
    stage.mtu = 900;
    stage.until_found();
    assert!(stage.size().is_some_and(|found| found <= 900 && 900 - found < WIDTH), "{:?}", stage.search);
}

#[test]
fn an_honest_router_leads_to_its_mtu_at_once_and_explains_the_loss() {
    let mut stage = Stage::new(1_300);
    stage.routers = Routers::Honest;
    // The expected size twice, the stated size, and twice a size above it.
    assert_eq!(stage.until_found(), 5);
    assert_eq!(stage.search.path(), PathMtu { size: Some(1_300), black_hole: Some(false) });
}

#[test]
fn an_interface_with_a_smaller_mtu_needs_no_second_try() {
    let mut stage = Stage::new(1_476);
    for _ in 0..LOSSES {
        stage.pass_until(stage.search.due());
        stage.search.begin(stage.now, stage.usual);
        let (large, small) = (PacketFate::AboveInterface, PacketFate::Answered);
        stage.search.finish(MtuRound { large, small, usual: stage.usual, ended: stage.now });
    }
    let mut rounds = 0;
    while matches!(stage.search.phase, SearchPhase::Search(_)) {
        stage.pass_until(stage.search.due());
        let size = stage.search.begin(stage.now, stage.usual);
        let large = if size <= 1_420 { PacketFate::Answered } else { PacketFate::AboveInterface };
        stage.search.finish(MtuRound { large, small: PacketFate::Answered, usual: stage.usual, ended: stage.now });
        rounds += 1;
    }
    let PathMtu { size, black_hole } = stage.search.path();
    assert!(size.is_some_and(|size| size <= 1_420 && 1_420 - size < WIDTH), "{size:?}");
    assert_eq!((black_hole, rounds <= 9), (Some(false), true), "{rounds} rounds");
}

#[test]
fn packets_that_were_not_sent_prove_nothing() {
    let mut stage = Stage::new(1_476);
    for (large, small) in [
        (PacketFate::NotSent, PacketFate::Answered),
        (PacketFate::Lost, PacketFate::NotSent),
        (PacketFate::NotSent, PacketFate::NotSent),
    ] {
        for _ in 0..10 {
            stage.search.begin(stage.now, stage.usual);
            stage.search.finish(MtuRound { large, small, usual: stage.usual, ended: stage.now });
            assert!(matches!(stage.search.phase, SearchPhase::Watch(Suspicion { losses: 0, .. })));
        }
    }
}

#[test]
fn a_path_below_the_floor_has_the_size_of_the_small_packet() {
    let mut stage = Stage::new(300);
    assert!(stage.until_found() <= 18);
    assert_eq!(stage.size(), Some(SMALL));
    stage.tried.clear();
    stage.until_found();
    let tried = |size| stage.tried.get(&size).copied();
    assert_eq!((tried(1_476), tried(576), stage.tried.len()), (Some(2), Some(2), 3), "{:?}", stage.tried);
    assert_eq!(stage.size(), Some(SMALL));
    stage.mtu = 600;
    stage.until_found();
    assert!(stage.size().is_some_and(|found| found <= 600 && 600 - found < WIDTH), "{:?}", stage.search);
}

#[test]
fn an_expected_size_equal_to_the_floor_can_be_lost_as_well() {
    let limits = MtuLimits::new(IpVersion::V4, 576, MtuSettings::default());
    let mut stage = Stage::with_limits(500, limits);
    assert_eq!(stage.until_found(), 2);
    assert_eq!(stage.size(), Some(SMALL));
}

/// Loss that hits small packets alike. The random numbers are always the same.
#[test]
fn random_loss_is_not_taken_for_a_small_path() {
    let (mut rounds, mut searching) = (0, 0);
    for percent in (0..=20).chain([25, 30, 40, 50, 70, 90, 100]) {
        for seed in 0..40 {
            let mut stage = Stage::new(1_476);
            (stage.loss, stage.random) = (f64::from(percent) / 100.0, seed * 7_919 + 13);
            for _ in 0..200 {
                searching += u32::from(stage.round() != 1_476);
                rounds += 1;
                assert!(stage.size().is_none_or(|found| found == 1_476), "{percent} %, {seed}: {:?}", stage.search);
            }
        }
    }
    // Two searches need this many rounds.
    assert!(searching <= 20, "another size in {searching} of {rounds} rounds");
}

/// Routers that state nothing, the truth, or anything.
fn routers() -> impl Strategy<Value = Routers> {
    let value = prop_oneof![
        Just(None),
        Just(Some(0)),
        any::<u32>().prop_map(Some),
        (1..1_600_u32).prop_map(Some),
        (500..1_476_u32).prop_map(Some),
    ];
    prop_oneof![
        Just(Routers::Silent),
        Just(Routers::Honest),
        proptest::collection::vec(value, 1..6).prop_map(Routers::Lying),
        // Always one byte less.
        (576..1_476_u32).prop_map(|first| Routers::Lying((0..first - 575).map(|n| Some(first - n)).collect())),
    ]
}

fn limits() -> impl Strategy<Value = MtuLimits> {
    (any::<bool>(), 576..=1_500_u16, 128..=1_500_u16).prop_map(|(v4, expected, floor)| {
        let version = if v4 { IpVersion::V4 } else { IpVersion::V6 };
        MtuLimits::new(version, expected, MtuSettings { floor, ..MtuSettings::default() })
    })
}

/// Rounds of the longest search without lies: seven sizes and the floor, each tried twice, after the expected size.
const HONEST_ROUNDS: u32 = 2 * (1 + 8 + 1);

proptest! {
    #[test]
    fn any_path_is_found_within_eight_bytes_at_a_bounded_cost(
        limits in limits(), mtu in 84..1_500_u16, routers in routers(),
    ) {
        prop_assume!(mtu < limits.expected());
        let mut stage = Stage::with_limits(mtu, limits);
        stage.routers = routers;
        let rounds = stage.until_found();
        let found = stage.size().unwrap();
        if mtu >= limits.floor() {
            prop_assert!(found <= mtu && mtu - found < WIDTH, "{} for {}", found, mtu);
        } else {
            prop_assert_eq!(found, SMALL);
        }
        // Each of two lies costs a size, and another one above it.
        prop_assert!(rounds <= HONEST_ROUNDS + 4 * u32::from(HINTS), "{} rounds", rounds);
        let largest = stage.tried.keys().next_back().copied();
        prop_assert!(largest <= Some(limits.expected()));
        let smallest = stage.tried.keys().next().copied();
        prop_assert!(smallest >= Some(limits.floor()));
    }

    /// A size counts as passing only with a reply, whatever is lost and whatever routers say.
    #[test]
    fn the_path_mtu_is_never_overstated(
        limits in limits(), mtu in 84..1_500_u16, routers in routers(), loss in 0.0..1.0_f64, random in any::<u64>(),
    ) {
        let mut stage = Stage::with_limits(mtu, limits);
        (stage.routers, stage.loss, stage.random) = (routers, loss, random);
        for _ in 0..200 {
            stage.round();
            prop_assert!(stage.size().is_none_or(|found| found <= mtu.min(limits.expected())));
        }
    }

    /// Loss and a small path at the same time: up to five percent, the search still ends near the truth.
    #[test]
    fn a_little_loss_does_not_hide_a_small_path(mtu in 600..1_400_u16, percent in 0..=5_u32, random in any::<u64>()) {
        let mut stage = Stage::new(mtu);
        (stage.loss, stage.random) = (f64::from(percent) / 100.0, random);
        for _ in 0..300 {
            stage.round();
        }
        prop_assert!(stage.size().is_some_and(|found| found <= mtu), "{:?}", stage.search);
    }
}
