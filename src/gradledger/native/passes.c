/* Passes over memory that torch can only make one operation at a time: see passes.h.
 *
 * Plain C99, with one header for copies past the cache; `#pragma omp simd` asks for vectors, not for
 * threads; sums are kept in vectors of the compilers' own kind.
 * The order of slots and the fields of both structs are those of gradledger/native/passes.py. */

#define BLOCK 512

enum {
    DELTA, GRADIENT, GAP, EDITS, HISTORY, HISTORY_DECAY, DECAY, INVENTORY, REVALUATION, REMAINDER,
    ROUNDING, RESIDUAL, ACCRUAL_ROUNDING, ACCRUAL_RESIDUAL, TWO_ULP
};

struct law {
    double gradient, incurred, kappa, history, inventory, coupled_cash, coupled_accrual, decoupled,
        retain, intake;
    int is_coupled, scaled_intake;
};

#define INPUTS(REAL)                                                                              \
    {                                                                                             \
        const REAL *before, *after, *raw, *used, *captured, *momentum_before, *momentum_after,    \
            *gradient_scale, *carried_scale, *remainder;                                          \
        REAL *inventory, *decay_momentum;                                                         \
    }
typedef struct INPUTS(float) inputs_f32;
typedef struct INPUTS(double) inputs_f64;

#define REAL float
#define BITS int
#define NAME(name) name##_f32
#define EXPONENT 0x7F800000
#define ROOT __builtin_sqrtf
#define EPSILON 0x1p-23f
#define SMALLEST 0x1p-126f
#include "passes.h"
#undef REAL
#undef BITS
#undef NAME
#undef EXPONENT
#undef ROOT
#undef EPSILON
#undef SMALLEST

#define REAL double
#define BITS long long
#define NAME(name) name##_f64
#define EXPONENT 0x7FF0000000000000LL
#define ROOT __builtin_sqrt
#define EPSILON 0x1p-52
#define SMALLEST 0x1p-1022
#include "passes.h"

/* The two products of rows of 1024 words with fixed weights, modulo 2**64: words as they are, and
 * with their bytes reversed. Four rows at a time keep four streams from memory busy. The rows must
 * lie on a multiple of eight bytes; little-endian. Rows are copied on the way where a place is given;
 * then both lie on multiples of 16 bytes. */
typedef unsigned long long word;
#define ROW_WORDS 1024
#define ROWS 4

/* Copy words that nobody reads soon past the cache: no line is fetched only to be overwritten.
 * Both lie on multiples of 16 bytes. */
#ifdef __SSE2__
#include <emmintrin.h>
static inline void copy_past(const word *from, word *to, long num_words) {
    for (long i = 0; i < num_words; i += 2)
        _mm_stream_si128((__m128i *)(to + i), _mm_load_si128((const __m128i *)(from + i)));
}
static inline void end_copies(void) { _mm_sfence(); }
#else
static inline void copy_past(const word *from, word *to, long num_words) {
    __builtin_memcpy(to, from, (unsigned long)num_words * sizeof(word));
}
static inline void end_copies(void) {}
#endif

static void few_lanes(const word *rows, const word *forward, const word *backward, word *as_is,
                      word *reversed, int num_rows) {
    for (int row = 0; row < num_rows; row++) {
        const word *x = rows + row * ROW_WORDS;
        word first = 0, second = 0;
        #pragma omp simd reduction(+ : first, second)
        for (int i = 0; i < ROW_WORDS; i++) {
            first += x[i] * forward[i];
            second += __builtin_bswap64(x[i]) * backward[i];
        }
        as_is[row] = first;
        reversed[row] = second;
    }
}

void row_lanes(const word *rows, const word *forward, const word *backward, word *as_is,
               word *reversed, word *copy, long from, long to) {
    long row = from;
    for (; row + ROWS <= to; row += ROWS) {
        const word *x = rows + row * ROW_WORDS;
        word a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
        #pragma omp simd reduction(+ : a, b, c, d, e, f, g, h)
        for (int i = 0; i < ROW_WORDS; i++) {
            const word *y = x + i;
            a += y[0] * forward[i];
            b += __builtin_bswap64(y[0]) * backward[i];
            c += y[ROW_WORDS] * forward[i];
            d += __builtin_bswap64(y[ROW_WORDS]) * backward[i];
            e += y[2 * ROW_WORDS] * forward[i];
            f += __builtin_bswap64(y[2 * ROW_WORDS]) * backward[i];
            g += y[3 * ROW_WORDS] * forward[i];
            h += __builtin_bswap64(y[3 * ROW_WORDS]) * backward[i];
        }
        const word first[ROWS] = {a, c, e, g}, second[ROWS] = {b, d, f, h};
        for (int i = 0; i < ROWS; i++) {
            as_is[row + i] = first[i];
            reversed[row + i] = second[i];
        }
        if (copy) copy_past(x, copy + row * ROW_WORDS, ROWS * ROW_WORDS);
    }
    few_lanes(rows + row * ROW_WORDS, forward, backward, as_is + row, reversed + row,
              (int)(to - row));
    if (!copy) return;
    copy_past(rows + row * ROW_WORDS, copy + row * ROW_WORDS, (to - row) * ROW_WORDS);
    end_copies();
}
