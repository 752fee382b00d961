/* The passes over one tensor, written for one number type: REAL, BITS and the constants of the
 * format are defined by the including file. Blocks are small enough to stay in the first-level
 * cache. Sums of a block are taken in REAL and added up over blocks in double; where squares of
 * the change leave the range of REAL, the sums of that block are taken in double from the start. */

#define LANES (64 / (int)sizeof(REAL))
#define VEC NAME(vec)
/* One vector of 64 bytes anywhere in memory; the compiler takes as many registers as it needs. */
typedef REAL VEC __attribute__((vector_size(64), aligned(sizeof(REAL)), may_alias));

static double NAME(added)(VEC a, VEC b, VEC c, VEC d) {
    const VEC all = (a + b) + (c + d);
    double sum = 0;
    for (int i = 0; i < LANES; i++) sum += (double)all[i];
    return sum;
}

/* Add <x, x> and <x, way>. Four vectors of sums each: one alone would wait for its own additions. */
static void NAME(products)(const REAL *x, const REAL *way, int n, int wide, double *square,
                           double *dot) {
    double first = 0, second = 0;
    int i = 0;
    if (!wide) {
        VEC s[4] = {{0}, {0}, {0}, {0}}, d[4] = {{0}, {0}, {0}, {0}};
        for (; i + 4 * LANES <= n; i += 4 * LANES) {
            const VEC *u = (const VEC *)(x + i), *w = (const VEC *)(way + i);
            s[0] += u[0] * u[0];
            s[1] += u[1] * u[1];
            s[2] += u[2] * u[2];
            s[3] += u[3] * u[3];
            d[0] += u[0] * w[0];
            d[1] += u[1] * w[1];
            d[2] += u[2] * w[2];
            d[3] += u[3] * w[3];
        }
        first = NAME(added)(s[0], s[1], s[2], s[3]);
        second = NAME(added)(d[0], d[1], d[2], d[3]);
    }
    for (; i < n; i++) {
        first += (double)x[i] * (double)x[i];
        second += (double)x[i] * (double)way[i];
    }
    *square += first;
    *dot += second;
}

static double NAME(square)(const REAL *x, int n, int wide) {
    double square = 0, same = 0;
    NAME(products)(x, x, n, wide, &square, &same);
    return square;
}

static void NAME(note)(double *sums, int slot, const REAL *x, const REAL *delta, int n, int wide) {
    NAME(products)(x, delta, n, wide, sums + 2 * slot, sums + 2 * slot + 1);
}

/* out = rest - factor * scale * x; no scale is a scale of one. */
static void NAME(less)(const REAL *rest, double factor, const REAL *scale, const REAL *x, REAL *out,
                       int n) {
    const REAL f = (REAL)factor;
    if (scale) {
        #pragma omp simd
        for (int i = 0; i < n; i++) out[i] = rest[i] - f * (scale[i] * x[i]);
    } else {
        #pragma omp simd
        for (int i = 0; i < n; i++) out[i] = rest[i] - f * x[i];
    }
}

static const REAL *NAME(scaled)(const REAL *x, const REAL *scale, REAL *out, int n) {
    if (!scale) return x;
    #pragma omp simd
    for (int i = 0; i < n; i++) out[i] = x[i] * scale[i];
    return out;
}

/* out = x - factor * y */
static void NAME(minus)(const REAL *x, double factor, const REAL *y, REAL *out, int n) {
    NAME(less)(x, factor, 0, y, out, n);
}

static int NAME(in_range)(double square, const REAL *x, int n) {
    double mean = square / n;
    if (sizeof(REAL) == 8 || (mean > 1e-30 && mean < 1e30)) return 1;
    if (mean != 0.0) return 0;
    int any = 0;
    #pragma omp simd reduction(| : any)
    for (int i = 0; i < n; i++) any |= x[i] != 0;
    return !any;
}

/* out = 2 ulp(max(|before|, |after|)), from the exponent fields alone. */
static void NAME(two_ulp)(const REAL *before, const REAL *after, REAL *out, int n) {
    #pragma omp simd
    for (int i = 0; i < n; i++) {
        union { REAL real; BITS bits; } first = {before[i]}, second = {after[i]};
        first.bits &= EXPONENT;
        second.bits &= EXPONENT;
        if (second.bits > first.bits) first.bits = second.bits;
        out[i] = SMALLEST + first.real * (2 * EPSILON);
    }
}

/* Part what is left into rounding and residual, and measure both. */
static void NAME(rest)(double *sums, int slot, REAL *rest, const REAL *limit, const REAL *delta,
                       REAL *work, int n, int wide) {
    #pragma omp simd
    for (int i = 0; i < n; i++) {
        REAL x = rest[i];
        x = x > limit[i] ? limit[i] : x;
        x = x < -limit[i] ? -limit[i] : x;
        work[i] = x;
        rest[i] -= x;
    }
    NAME(note)(sums, slot, work, delta, n, wide);
    NAME(note)(sums, slot + 1, rest, delta, n, wide);
}

#define AT(pointer) ((pointer) ? (pointer) + start : 0)

void NAME(measure_lines)(const NAME(inputs) *in, const struct law *law, long from, long to,
                         double *sums) {
    REAL delta[BLOCK], cash[BLOCK], accrual[BLOCK], work[BLOCK], limit[BLOCK];
    for (long start = from; start < to; start += BLOCK) {
        const int n = (int)(to - start < BLOCK ? to - start : BLOCK);
        const REAL *before = in->before + start, *after = in->after + start;
        const REAL *raw = in->raw + start, *used = in->used + start;
        const REAL *captured = AT(in->captured), *scale = AT(in->gradient_scale);
        const REAL *carried_scale = AT(in->carried_scale), *remainder = AT(in->remainder);
        const REAL *momentum = AT(in->momentum_before), *later = AT(in->momentum_after);
        REAL *held = AT(in->inventory), *decayed = AT(in->decay_momentum);

        NAME(minus)(after, 1, before, delta, n);
        const double square = NAME(square)(delta, n, 0);
        const int wide = !NAME(in_range)(square, delta, n);
        const double sum = wide ? NAME(square)(delta, n, 1) : square;
        sums[2 * DELTA] += sum;
        sums[2 * DELTA + 1] += sum;

        NAME(less)(delta, law->gradient, scale, used, cash, n);
        NAME(less)(delta, -law->incurred, scale, used, accrual, n);
        const REAL *sum_of_visits = captured ? captured : raw;
        NAME(note)(sums, GRADIENT, NAME(scaled)(sum_of_visits, scale, work, n), delta, n, wide);
        if (captured) {
            NAME(minus)(raw, 1, captured, work, n);
            NAME(note)(sums, GAP, NAME(scaled)(work, scale, work, n), delta, n, wide);
        }
        if (in->used != in->raw) {
            NAME(minus)(used, law->kappa, raw, work, n);
            NAME(note)(sums, EDITS, NAME(scaled)(work, scale, work, n), delta, n, wide);
        }
        if (law->is_coupled) {
            NAME(note)(sums, DECAY, NAME(scaled)(before, scale, work, n), delta, n, wide);
            NAME(less)(cash, law->coupled_cash, scale, before, cash, n);
            NAME(less)(accrual, law->coupled_accrual, scale, before, accrual, n);
        } else if (law->decoupled != 0) {
            NAME(note)(sums, DECAY, before, delta, n, wide);
            NAME(minus)(cash, -law->decoupled, before, cash, n);
            NAME(minus)(accrual, -law->decoupled, before, accrual, n);
        }
        if (remainder) {
            NAME(note)(sums, REMAINDER, remainder, delta, n, wide);
            NAME(minus)(cash, 1, remainder, cash, n);
            NAME(minus)(accrual, 1, remainder, accrual, n);
        }
        if (momentum && law->history != 0) {
            NAME(less)(cash, law->history, carried_scale, momentum, cash, n);
            const REAL *carried = momentum;
            if (decayed) {
                const REAL *part = NAME(scaled)(decayed, carried_scale, work, n);
                NAME(note)(sums, HISTORY_DECAY, part, delta, n, wide);
                NAME(minus)(momentum, 1, decayed, work, n);
                carried = work;
            }
            NAME(note)(sums, HISTORY, NAME(scaled)(carried, carried_scale, work, n), delta, n,
                       wide);
        }
        if (held) {
            REAL *value = limit; /* Free until the limits are taken. */
            #pragma omp simd
            for (int i = 0; i < n; i++) value[i] = 0;
            if (later && law->inventory != 0)
                NAME(less)(value, -law->inventory, carried_scale, later, value, n);
            NAME(minus)(value, 1, held, work, n);
            NAME(note)(sums, INVENTORY, work, delta, n, wide);
            NAME(minus)(accrual, 1, work, accrual, n);
            const REAL *revalued = held;
            if (momentum) {
                NAME(less)(held, law->inventory, carried_scale, momentum, work, n);
                revalued = work;
            }
            NAME(note)(sums, REVALUATION, revalued, delta, n, wide);
            NAME(minus)(accrual, 1, revalued, accrual, n);
            #pragma omp simd
            for (int i = 0; i < n; i++) held[i] = value[i];
        }
        NAME(two_ulp)(before, after, limit, n);
        sums[2 * TWO_ULP] += NAME(square)(limit, n, wide);
        NAME(rest)(sums, ROUNDING, cash, limit, delta, work, n, wide);
        NAME(rest)(sums, ACCRUAL_ROUNDING, accrual, limit, delta, work, n, wide);
        if (decayed) {
            const REAL retain = (REAL)law->retain, intake = (REAL)law->intake;
            const REAL *taken = NAME(scaled)(before, law->scaled_intake ? scale : 0, work, n);
            #pragma omp simd
            for (int i = 0; i < n; i++) decayed[i] = decayed[i] * retain + intake * taken[i];
        }
    }
}

/* Rows of gradients read once: inner products with one direction, squares, weighted sum. */
void NAME(measure_rows)(const REAL *rows, long num_rows, long length, const REAL *direction,
                        const REAL *weights, REAL *total, long from, long to, double *dots,
                        double *squares) {
    for (long start = from; start < to; start += BLOCK) {
        const int n = (int)(to - start < BLOCK ? to - start : BLOCK);
        REAL *sum = total + start;
        for (long row = 0; row < num_rows; row++) {
            const REAL *x = rows + row * length + start, *way = direction + start;
            const REAL weight = weights[row];
            NAME(products)(x, way, n, 0, squares + row, dots + row);
            #pragma omp simd
            for (int i = 0; i < n; i++) sum[i] += weight * x[i];
        }
    }
}
#undef AT

/* Sums for the clip factor: <used, raw>, <raw, raw>, and how many elements differ in their bits. */
void NAME(compare)(const REAL *used, const REAL *raw, long from, long to, double *sums) {
    for (long start = from; start < to; start += BLOCK) {
        const int n = (int)(to - start < BLOCK ? to - start : BLOCK);
        const REAL *x = used + start, *y = raw + start;
        double square = 0, cross = 0;
        NAME(products)(y, x, n, 0, &square, &cross);
        if (!NAME(in_range)(square, y, n)) {
            square = cross = 0;
            NAME(products)(y, x, n, 1, &square, &cross);
        }
        sums[0] += cross;
        sums[1] += square;
        int others = 0;
        #pragma omp simd reduction(+ : others)
        for (int i = 0; i < n; i++) {
            union { REAL real; BITS bits; } first = {x[i]}, second = {y[i]};
            others += first.bits != second.bits;
        }
        sums[2] += others;
    }
}

/* out = factor * scale * (after - before): what inner products with entries are taken with. */
void NAME(weigh)(const REAL *after, const REAL *before, const REAL *scale, double factor, REAL *out,
                 long from, long to) {
    const REAL f = (REAL)factor;
    if (scale) {
        #pragma omp simd
        for (long i = from; i < to; i++) out[i] = (after[i] - before[i]) * f * scale[i];
    } else {
        #pragma omp simd
        for (long i = from; i < to; i++) out[i] = (after[i] - before[i]) * f;
    }
}

/* Squared norm of a block of after - before, in the order of `products` but without a block between. */
static double NAME(square_of_change)(const REAL *before, const REAL *after, int n) {
    VEC s[4] = {{0}, {0}, {0}, {0}};
    int i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        const VEC *u = (const VEC *)(after + i), *w = (const VEC *)(before + i);
        for (int k = 0; k < 4; k++) {
            const VEC delta = u[k] - w[k];
            s[k] += delta * delta;
        }
    }
    double square = NAME(added)(s[0], s[1], s[2], s[3]);
    for (; i < n; i++) {
        const REAL delta = after[i] - before[i];
        square += (double)delta * (double)delta;
    }
    return square;
}

/* Add the squared norm of after - before. */
void NAME(distance)(const REAL *before, const REAL *after, long from, long to, double *sum) {
    REAL delta[BLOCK];
    for (long start = from; start < to; start += BLOCK) {
        const int n = (int)(to - start < BLOCK ? to - start : BLOCK);
        double square = NAME(square_of_change)(before + start, after + start, n);
        const double mean = square / n;
        if (sizeof(REAL) == 4 && !(mean > 1e-30 && mean < 1e30)) {
            NAME(minus)(after + start, 1, before + start, delta, n);
            if (!NAME(in_range)(square, delta, n)) square = NAME(square)(delta, n, 1);
        }
        *sum += square;
    }
}

/* out = 1 / (sqrt(x) + floor), every operation rounded to the nearest number. */
void NAME(inverse_root)(const REAL *x, double floor, REAL *out, long from, long to) {
    const REAL least = (REAL)floor;
    #pragma omp simd
    for (long i = from; i < to; i++) out[i] = 1 / (ROOT(x[i]) + least);
}
#undef LANES
#undef VEC
