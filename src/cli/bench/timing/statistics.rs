//! Whether two samples of times come from one distribution: the two-sample Kolmogorov-Smirnov test, and the difference
//! of the medians with a bootstrap interval. Knows nothing of what was timed.
//!
//! Source: Smirnov 1948; the small-sample correction of the asymptotic distribution is Stephens' (1970).

/// What two samples say of each other. Times in microseconds, first less second.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Comparison {
    pub(super) samples: [Spread; 2],
    /// The largest distance between the two distribution functions (D).
    pub(super) distance: f64,
    /// How often samples of one distribution lie so far apart.
    pub(super) p: f64,
    pub(super) difference_us: f64,
    /// 99 % of the differences that resampling gives.
    pub(super) interval_us: [f64; 2],
}

/// In microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) p10: f64,
    pub(super) median: f64,
    pub(super) p90: f64,
}

/// A small generator (SplitMix64): which answer is asked for next need not be secret, only not the same each time.
pub(super) struct Random(u64);

impl Comparison {
    /// Neither sample may be empty.
    pub(super) fn of(mut samples: [Vec<f64>; 2], random: &mut Random) -> Self {
        for sample in &mut samples {
            sample.sort_unstable_by(f64::total_cmp);
        }
        let distance = distance(&samples);
        let spreads = samples.each_ref().map(|sample| Spread::of(sample));
        Self {
            distance,
            p: p_value(distance, samples.each_ref().map(Vec::len)),
            difference_us: spreads[0].median - spreads[1].median,
            interval_us: interval(&samples, random),
            samples: spreads,
        }
    }
}

impl Spread {
    fn of(sorted: &[f64]) -> Self {
        let [p10, median, p90] = [10, 50, 90].map(|percent| at(sorted, percent * 10));
        Self { p10, median, p90 }
    }
}

impl Random {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The bias of the remainder is far below what is measured.
        usize::try_from(mixed % (end.max(1) as u64)).unwrap_or_default()
    }
}

/// Value at so many thousandths of a sorted sample.
fn at(sorted: &[f64], thousandths: usize) -> f64 {
    sorted.get((sorted.len() * thousandths / 1_000).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn distance([first, second]: &[Vec<f64>; 2]) -> f64 {
    let (mut i, mut j, mut largest) = (0, 0, 0.0_f64);
    while let (Some(a), Some(b)) = (first.get(i), second.get(j)) {
        // Equal values step together, or ties would count as distance.
        let value = a.min(*b);
        i += first[i..].iter().take_while(|x| **x <= value).count();
        j += second[j..].iter().take_while(|x| **x <= value).count();
        largest = largest.max((share(i, first.len()) - share(j, second.len())).abs());
    }
    largest
}

/// Kolmogorov's distribution: 2 Σ (-1)^(k-1) exp(-2 k² λ²).
fn p_value(distance: f64, [first, second]: [usize; 2]) -> f64 {
    let [first, second] = [first, second].map(number);
    let root = (first * second / (first + second)).sqrt();
    let lambda = (root + 0.12 + 0.11 / root) * distance;
    // The sum converges slowly there, to 1.
    if lambda < 0.2 {
        return 1.0;
    }
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 2.0 } else { -2.0 };
        sign * (-2.0 * f64::from(k * k) * lambda * lambda).exp()
    };
    (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

/// Percentile bootstrap.
fn interval(samples: &[Vec<f64>; 2], random: &mut Random) -> [f64; 2] {
    let mut again = Vec::new();
    let mut median = |sample: &[f64], random: &mut Random| {
        again.clear();
        again.extend((0..sample.len()).filter_map(|_| sample.get(random.below(sample.len()))));
        let middle = again.len() / 2;
        *again.select_nth_unstable_by(middle, f64::total_cmp).1
    };
    let mut differences: Vec<f64> =
        (0..RESAMPLES).map(|_| median(&samples[0], random) - median(&samples[1], random)).collect();
    differences.sort_unstable_by(f64::total_cmp);
    [5, 995].map(|thousandths| at(&differences, thousandths))
}

fn share(part: usize, of: usize) -> f64 {
    number(part) / number(of)
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

const RESAMPLES: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 20_260_302;

    /// Times as a server's are: most near 500 us, a tail to the right.
    fn times(count: usize, shift_us: f64, random: &mut Random) -> Vec<f64> {
        let uniform = |random: &mut Random| number(random.below(1_000_000) + 1) / 1e6;
        (0..count).map(|_| 500.0 + shift_us - 60.0 * uniform(random).ln() + 20.0 * uniform(random)).collect()
    }

    fn compared(count: usize, shift_us: f64, random: &mut Random) -> Comparison {
        let samples = [times(count, shift_us, random), times(count, 0.0, random)];
        Comparison::of(samples, random)
    }

    #[test]
    fn a_shift_of_twenty_microseconds_is_found() {
        let found = compared(1_000, 20.0, &mut Random::seeded(SEED));
        assert!(found.p < 1e-6 && found.distance > 0.1, "{found:?}");
        assert!((10.0..30.0).contains(&found.difference_us), "{found:?}");
        let [low, high] = found.interval_us;
        assert!(low > 0.0 && low <= found.difference_us && found.difference_us <= high, "{found:?}");
    }

    #[test]
    fn samples_of_one_distribution_are_told_apart_as_often_as_the_level_says() {
        let mut random = Random::seeded(SEED);
        let found: Vec<_> = (0..400).map(|_| compared(100, 0.0, &mut random).p).collect();
        let below = |level: f64| found.iter().filter(|p| **p < level).count();
        assert!((5..=40).contains(&below(0.05)) && below(0.001) <= 2, "{} {}", below(0.05), below(0.001));
        assert!((140..=260).contains(&below(0.5)), "{}", below(0.5));
    }

    #[test]
    fn another_spread_around_the_same_median_is_found_too() {
        let mut random = Random::seeded(SEED);
        let narrow: Vec<f64> = (0..1_000).map(|_| 490.0 + number(random.below(20))).collect();
        let wide: Vec<f64> = (0..1_000).map(|_| 400.0 + number(random.below(200))).collect();
        let found = Comparison::of([narrow, wide], &mut random);
        assert!(found.p < 1e-6 && found.difference_us.abs() < 20.0, "{found:?}");
    }

    #[test]
    fn distance_and_p_value_are_those_of_the_tables() {
        let sample = |values: &[u32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
        let found = |a: &[u32], b: &[u32]| distance(&[sample(a), sample(b)]);
        assert!(found(&[1, 2, 3], &[1, 2, 3]).abs() < 1e-12);
        assert!((found(&[1, 2], &[3, 4]) - 1.0).abs() < 1e-12);
        assert!((found(&[1, 1, 1, 2], &[1, 2, 2, 2]) - 0.5).abs() < 1e-12);
        // Smirnov: Q(1.358) = 0.05, Q(1.628) = 0.01; in large samples the correction vanishes.
        for (lambda, expected) in [(1.358, 0.05), (1.628, 0.01), (0.1, 1.0)] {
            let p = p_value(lambda / 50_000_f64.sqrt(), [100_000, 100_000]);
            assert!((p - expected).abs() < 5e-4, "{lambda}: {p}");
        }
    }

    #[test]
    fn a_spread_is_read_from_a_sorted_sample() {
        let sample: Vec<f64> = (0..100).map(number).collect();
        assert_eq!(Spread::of(&sample), Spread { p10: 10.0, median: 50.0, p90: 90.0 });
        assert_eq!(Spread::of(&[7.0]), Spread { p10: 7.0, median: 7.0, p90: 7.0 });
    }
}
