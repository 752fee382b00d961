/* Passes over memory that torch can only make one operation at a time: see passes.h.
 *
 * Plain C99 without headers of its own; `#pragma omp simd` asks for vectors, not for threads.
 * The order of slots and the fields of both structs are those of gradledger/native/passes.py. */

#define BLOCK 1024

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
#define EPSILON 0x1p-23f
#define SMALLEST 0x1p-126f
#include "passes.h"
#undef REAL
#undef BITS
#undef NAME
#undef EXPONENT
#undef EPSILON
#undef SMALLEST

#define REAL double
#define BITS long long
#define NAME(name) name##_f64
#define EXPONENT 0x7FF0000000000000LL
#define EPSILON 0x1p-52
#define SMALLEST 0x1p-1022
#include "passes.h"
