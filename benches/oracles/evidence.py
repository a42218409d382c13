"""Writes rollout/oracles/*.json: what other people's implementations say of random cases, for the tests of
`rollout::evidence`.

Run by hand; its output is committed, and tests of the crate read it. The packages do not go together, so that there are
two runs:

    python3.10 -m venv A && A/bin/pip install --only-binary :all: confseq==0.0.11 gbstats==0.8.0 scipy==1.15.3
    A/bin/python benches/oracles/evidence.py confseq gbstats
    python3.11 -m venv B && B/bin/pip install --only-binary :all: savvi==0.3.1 matplotlib
    B/bin/python benches/oracles/evidence.py savvi

`confseq` has no wheel for a Python after 3.10 (built from source, it needs Boost's headers, pybind11 and scikit-build).
`gbstats` 0.8.0 has the two-sided sequence of means only: the one-sided one is written out here from the paper's formula.
A quantile test with one side is nowhere to be had: the slow one here looks at every value where something changes, and
takes the mixture from `confseq`.
"""

import json
import math
import pathlib
import random
import sys

SEED = 20261126
FOLDER = pathlib.Path(__file__).parents[2] / "rollout" / "oracles"


def write(name, what, tables):
    """One row a line, so that a difference can be read."""
    parts = [f'"what": {json.dumps(what)}', f'"seed": {SEED}']
    for table, rows in tables.items():
        lines = ",\n".join(json.dumps(row) for row in rows)
        parts.append(f'"{table}": [\n{lines}\n]')
    (FOLDER / f"{name}.json").write_text("{" + ",\n".join(parts) + "}\n")
    print(name, {table: len(rows) for table, rows in tables.items()})


def log_uniform(rng, low, high):
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def binomial(rng, n, chance):
    return sum(rng.random() < chance for _ in range(n))


def confseq():
    from confseq import boundaries

    rng = random.Random(SEED)

    def ln_mixture(yes, n, theta, n_opt, alpha):
        v = theta * (1.0 - theta)
        return boundaries.beta_binomial_log_mixture(yes - theta * n, v * n, v * n_opt, theta, 1.0 - theta, alpha, True)

    beta_binomial = []
    while len(beta_binomial) < 300:
        theta = rng.choice([0.5, 11 / 21, 0.05, 0.95, rng.uniform(0.01, 0.99)])
        alpha = rng.choice([0.05, 0.01])
        n_opt, n = round(log_uniform(rng, 20, 5_000)), round(log_uniform(rng, 1, 20_000))
        yes = binomial(rng, n, min(1.0, theta * log_uniform(rng, 0.5, 2.0)))
        found = ln_mixture(yes, n, theta, n_opt, alpha)
        # It leaves the range of its incomplete beta function far from the null.
        if math.isfinite(found) and abs(found) < 200.0:
            beta_binomial.append([theta, n_opt, alpha, yes, n, found])

    # One rollout, with a look at each of its events.
    stream, yes = [], 0
    for n in range(1, 1_001):
        is_worse = rng.random() < (0.5 if n <= 500 else 0.6)
        yes += is_worse
        stream.append([int(is_worse), ln_mixture(yes, n, 11 / 21, 80, 0.01)])

    normal = []
    for _ in range(50):
        v, v_opt, alpha = log_uniform(rng, 1, 1e4), log_uniform(rng, 10, 1e4), rng.choice([0.05, 0.01])
        normal.append([v, v_opt, alpha, boundaries.normal_mixture_bound(v, alpha, v_opt, alpha, False)])
    # V1 of its unit tests.
    assert abs(boundaries.normal_mixture_bound(100.0, 0.05, 100.0, 0.05, False) - 30.35209) < 1e-5

    def ln_quantile_shift(control, treatment, quantile, margin, n_opt, alpha):
        """The least, over all points x, of the evidence that too many of treatment are above it, and too many of control
        below x/(1 + margin)."""
        points = sorted(treatment + [value * (1.0 + margin) for value in control])
        between = [(a + b) / 2.0 for a, b in zip(points, points[1:])]
        least = math.inf
        for x in [points[0] / 2.0, *points, *between, points[-1] * 2.0]:
            above = sum(value > x for value in treatment)
            below = sum(value * (1.0 + margin) < x for value in control)
            least = min(
                least,
                ln_mixture(above, len(treatment), 1.0 - quantile, n_opt, alpha)
                + ln_mixture(below, len(control), quantile, n_opt, alpha),
            )
        return least

    quantile = []
    while len(quantile) < 60:
        q, margin = rng.choice([0.5, 0.9, 0.95, 0.99]), rng.choice([0.05, 0.1, 0.5])
        n_control, n_treatment = rng.randint(1, 300), rng.randint(1, 300)
        slower = rng.choice([1.0, 1.0, 1.5, 3.0])
        # In steps of 1.05^(1/4), as the histogram of a gate has them: here whole numbers, the values are 1.05^(k/4).
        draw = lambda by: round(4.0 * (rng.gauss(0.0, 0.5) + math.log(by)) / math.log(1.05))
        control, treatment = [draw(1.0) for _ in range(n_control)], [draw(slower) for _ in range(n_treatment)]
        value = lambda k: 1.05 ** (k / 4.0)
        # Within its step, where is not known: treatment may be just above where it begins, control where it ends.
        lowest = ln_quantile_shift(
            [value(k + 1) for k in control], [value(k) * (1.0 + 1e-9) for k in treatment], q, margin, 500, 0.01
        )
        exact = ln_quantile_shift(
            [value(k + 0.5) for k in control], [value(k + 0.5) for k in treatment], q, margin, 500, 0.01
        )
        if math.isfinite(lowest) and math.isfinite(exact):
            quantile.append([q, margin, control, treatment, lowest, exact])

    write(
        "confseq",
        "confseq 0.0.11",
        {"beta_binomial": beta_binomial, "stream": stream, "normal": normal, "quantile": quantile},
    )


def gbstats():
    from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
    from gbstats.models.statistics import RatioStatistic, SampleMeanStatistic

    rng = random.Random(SEED + 1)

    def interval(control, treatment, relative, n_opt, alpha):
        config = SequentialConfig(
            difference_type="relative" if relative else "absolute",
            alpha=alpha,
            sequential_tuning_parameter=n_opt,
        )
        test = SequentialTwoSidedTTest(control, treatment, config)
        return [float(test.point_estimate), *(float(it) for it in test.confidence_interval)], float(test.variance)

    def one_sided_evidence(estimate, variance, n, margin, n_opt, alpha):
        """What 1/alpha would be where the lower bound of Waudby-Smith and others' one-sided sequence is the margin."""
        rho2 = (-2.0 * math.log(2.0 * alpha) + math.log(1.0 - 2.0 * math.log(2.0 * alpha))) / n_opt
        mixture = n * rho2 + 1.0
        s2 = n * variance
        low, high = 0.0, 700.0
        for _ in range(200):
            middle = (low + high) / 2.0
            # ln(1/alpha) of the bound
            inner = math.log1p(math.sqrt(mixture) / 2.0 * math.exp(middle))
            half = math.sqrt(s2 * 2.0 * mixture / (n * n * rho2) * inner)
            low, high = (middle, high) if estimate - half > margin else (low, middle)
        return low

    means, ratios = [], []
    while len(means) < 150:
        n = [rng.randint(100, 20_000), rng.randint(100, 20_000)]
        mean = [rng.uniform(0.5, 3.0), rng.uniform(0.5, 3.0)]
        deviation = [rng.uniform(0.2, 4.0), rng.uniform(0.2, 4.0)]
        sums = [k * m for k, m in zip(n, mean)]
        squares = [k * (m * m + d * d) for k, m, d in zip(n, mean, deviation)]
        arms = [SampleMeanStatistic(n=k, sum=s, sum_squares=q) for k, s, q in zip(n, sums, squares)]
        n_opt, alpha, relative = rng.choice([500, 5_000]), rng.choice([0.05, 0.01]), rng.random() < 0.5
        found, variance = interval(*arms, relative, n_opt, alpha)
        margin = rng.choice([0.02, 0.1])
        evidence = one_sided_evidence(found[0], variance, sum(n), margin, n_opt, alpha)
        if evidence < 600.0:
            means.append([n, sums, squares, relative, n_opt, alpha, *found, margin, evidence])
    for _ in range(150):
        row, arms = [], []
        for _ in range(2):
            n = rng.randint(100, 5_000)
            a, b, noise = rng.uniform(0.5, 3.0), rng.uniform(1.0, 6.0), rng.uniform(0.1, 2.0)
            units = []
            for _ in range(200):
                count = 1.0 + math.floor(rng.expovariate(1.0 / b))
                units.append((count * a + rng.gauss(0.0, noise) * math.sqrt(count), count))
            k = n / 200.0
            sums = [k * sum(it) for it in zip(*((y, x, y * y, y * x, x * x) for y, x in units))]
            row.append([n, *sums])
            arms.append(
                RatioStatistic(
                    n=n,
                    m_statistic=SampleMeanStatistic(n=n, sum=sums[0], sum_squares=sums[2]),
                    d_statistic=SampleMeanStatistic(n=n, sum=sums[1], sum_squares=sums[4]),
                    m_d_sum_of_products=sums[3],
                )
            )
        n_opt, alpha, relative = rng.choice([500, 5_000]), rng.choice([0.05, 0.01]), rng.random() < 0.5
        found, _ = interval(*arms, relative, n_opt, alpha)
        ratios.append([*row, relative, n_opt, alpha, *found])

    # One rollout, with a look after every 50 units: values of control and treatment in turn.
    stream, arms = [], [[], []]
    for n in range(1, 2_001):
        value = rng.expovariate(1.0 if n % 2 else 1.0 / 1.1)
        arms[(n + 1) % 2].append(value)
        row = [value]
        if n % 50 == 0:
            both = [SampleMeanStatistic(n=len(it), sum=sum(it), sum_squares=sum(v * v for v in it)) for it in arms]
            row += interval(*both, True, 2_000, 0.01)[0]
        stream.append(row)

    write("gbstats", "gbstats 0.8.0", {"means": means, "ratios": ratios, "stream": stream})


def savvi():
    import numpy
    from savvi.multinomial import Multinomial

    rng = random.Random(SEED + 2)
    rows = []
    while len(rows) < 150:
        shares = rng.choice([[0.5, 0.5], [0.25, 0.75], [0.125, 0.375, 0.5]])
        skew = [share * rng.uniform(0.9, 1.1) for share in shares]
        units = [0] * len(shares)
        for arm in rng.choices(range(len(shares)), skew, k=round(log_uniform(rng, 10, 20_000))):
            units[arm] += 1
        process = Multinomial(0.001, numpy.array(shares), 100)
        process.update(numpy.array(units))
        # It keeps the evidence itself, not its logarithm.
        if 1e-200 < process.odds < 1e200:
            rows.append([shares, units, math.log(process.odds)])
    write("savvi", "savvi 0.3.1", {"sample_ratio": rows})


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:]:
        {"confseq": confseq, "gbstats": gbstats, "savvi": savvi}[name]()
