/* Leaf hashes and root hashes of RFC 6962 over rows that lie one behind the other, and plain hashes
 * of texts.
 *
 * Only for processors with instructions for SHA-256: without them hashlib is as fast. Sources:
 * FIPS 180-4; Intel, "Intel SHA Extensions" (July 2013); RFC 6962, section 2.1. */

#if defined(__SHA__) && defined(__SSE4_1__)
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 64
#define HASH 32
#define LEAF 0x00
#define NODE 0x01

static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* The state as the instructions want it: words A, B, E, F and C, D, G, H, highest first. */
typedef struct {
    __m128i abef, cdgh;
} state;

static inline __m128i swap_bytes(__m128i words) {
    return _mm_shuffle_epi8(words, _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL));
}

static inline state first_state(void) {
    const state first = {
        _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c),
        _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19),
    };
    return first;
}

static inline state compress(state before, const unsigned char *block) {
    __m128i words[4], abef = before.abef, cdgh = before.cdgh;
    for (int i = 0; i < 4; i++)
        words[i] = swap_bytes(_mm_loadu_si128((const __m128i *)(block + 16 * i)));
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        if (i >= 4) { /* the schedule: words 4i to 4i + 3 */
            __m128i *oldest = &words[i % 4], last = words[(i + 3) % 4], one = words[(i + 1) % 4];
            __m128i sum = _mm_sha256msg1_epu32(*oldest, one);
            sum = _mm_add_epi32(sum, _mm_alignr_epi8(last, words[(i + 2) % 4], 4));
            *oldest = _mm_sha256msg2_epu32(sum, last);
        }
        __m128i keyed = _mm_add_epi32(words[i % 4], _mm_load_si128((const __m128i *)(K + 4 * i)));
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, keyed);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(keyed, 0x0e));
    }
    const state after = {_mm_add_epi32(abef, before.abef), _mm_add_epi32(cdgh, before.cdgh)};
    return after;
}

static inline void write_hash(state found, unsigned char *out) {
    const __m128i abef = _mm_shuffle_epi32(found.abef, 0x1b); /* F, E, B, A from the highest */
    const __m128i cdgh = _mm_shuffle_epi32(found.cdgh, 0x1b); /* H, G, D, C */
    const __m128i abcd = _mm_unpacklo_epi64(abef, cdgh), efgh = _mm_unpackhi_epi64(abef, cdgh);
    _mm_storeu_si128((__m128i *)out, swap_bytes(abcd));
    _mm_storeu_si128((__m128i *)(out + 16), swap_bytes(efgh));
}

/* SHA-256 of the byte of leaves, where it is one, and then `length` bytes. */
static inline void hash_bytes(const unsigned char *bytes, long length, int is_leaf,
                              unsigned char *out) {
    unsigned char block[2 * BLOCK] = {0};
    state found = first_state();
    const long first = is_leaf ? BLOCK - 1 : BLOCK;
    long taken = length < first ? length : first;
    if (is_leaf) block[0] = LEAF;
    if (taken) memcpy(block + (BLOCK - first), bytes, (size_t)taken);
    if (length >= first) {
        found = compress(found, block);
        for (; length - taken >= BLOCK; taken += BLOCK) found = compress(found, bytes + taken);
        memset(block, 0, BLOCK);
        memcpy(block, bytes + taken, (size_t)(length - taken));
        taken = length - taken;
    } else {
        taken += BLOCK - first;
    }
    block[taken] = 0x80;
    const long end = taken < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    const uint64_t bits = 8 * ((uint64_t)length + (is_leaf ? 1 : 0));
    for (int i = 0; i < 8; i++) block[end - 1 - i] = (unsigned char)(bits >> 8 * i);
    for (long at = 0; at < end; at += BLOCK) found = compress(found, block + at);
    write_hash(found, out);
}

/* SHA-256 of one byte and two hashes: 65 bytes, of which the second block holds the last. */
static inline void hash_node(const unsigned char *children, unsigned char *out) {
    unsigned char block[2 * BLOCK] = {NODE};
    memcpy(block + 1, children, 2 * HASH);
    block[BLOCK + 1] = 0x80;
    block[2 * BLOCK - 2] = 0x02; /* 8 * 65 = 0x0208 bits */
    block[2 * BLOCK - 1] = 0x08;
    write_hash(compress(compress(first_state(), block), block + BLOCK), out);
}

/* Leaf hashes of rows of one width, 32 bytes each. */
void hash_leaves(const unsigned char *rows, long num_rows, long row_bytes, unsigned char *out) {
    for (long i = 0; i < num_rows; i++)
        hash_bytes(rows + i * row_bytes, row_bytes, 1, out + i * HASH);
}

/* Hashes of texts, each from one offset to the next, 32 bytes each. */
void hash_texts(const unsigned char *content, const int64_t *offsets, long num_texts,
                unsigned char *out) {
    for (long i = 0; i < num_texts; i++)
        hash_bytes(content + offsets[i], (long)(offsets[i + 1] - offsets[i]), 0, out + i * HASH);
}

/* Root hash over hashes of one height, at least one; an odd one at the end moves up unchanged.
 * `hashes` is written over: its first 32 bytes are the root. */
void fold_hashes(unsigned char *hashes, long num_hashes) {
    for (long left = num_hashes; left > 1; left = (left + 1) / 2) {
        for (long i = 0; i < left / 2; i++)
            hash_node(hashes + 2 * i * HASH, hashes + i * HASH);
        if (left % 2) memmove(hashes + left / 2 * HASH, hashes + (left - 1) * HASH, HASH);
    }
}
#endif
