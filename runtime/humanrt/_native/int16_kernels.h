/* The kernels of int16.c for one instruction set, which includes this once for each. It defines before:
 *
 *     NAME(f)                the function's name in this set         CODE      the functions' target
 *     LANES                  floats in a register                    ROWS      rows that are summed at a time, 3 n
 *     Floats, Integers       registers of float, of int32            and the macros of arithmetic that are used below
 */

enum { NAME(PANEL) = 2 * LANES };

/* The values of x [depth] as integers in out [padded], behind them zeros; the result times an integer is its value.
 * `length` is of the longest block of integers, whose size is `block`. A row that is not finite has zeros, and the
 * result is nan. */
CODE INLINE float NAME(quantize)(const float *x, size_t depth, size_t padded, size_t block, float length,
                                 int16_t *out) {
    Floats highest = ZERO();
    for (size_t k = 0; k < depth; k += LANES) highest = MAXIMUM(highest, ABSOLUTE(LOAD_SOME(x + k, depth - k)));
    const float most = HIGHEST(highest);
    const float shrunk = most > 1e-30f ? 1 / most : 0;
    float all = 0, longest = 0;
    for (size_t begin = 0; begin < depth; begin += block) {
        Floats squares = ZERO();
        for (size_t k = begin; k < least(begin + block, depth); k += LANES) {
            const Floats y = LOAD_SOME(x + k, depth - k) * ALL(shrunk);
            squares = FMADD(y, y, squares);
        }
        const float sum = SUM(squares);
        longest = sum > longest ? sum : longest;
        all += sum;
    }
    const float largest = largest_integer(sqrtf(longest), block, length);
    const int finite = all < INFINITY; /* nan is not */
    const Floats scale = ALL(finite ? shrunk * largest : 0);
    for (size_t k = 0; k < padded; k += LANES) {
        const Floats y = finite && k < depth ? LOAD_SOME(x + k, depth - k) * scale : ZERO();
        STORE_16(out + k, ROUNDED(y));
    }
    return finite ? most / largest : NAN;
}

/* sums [ROWS][PANEL] = left (ROWS rows of pairs of integers, `stride` bytes apart) times a panel of the right operand;
 * `block` integers of a row are summed up as integers. */
CODE INLINE void NAME(multiply)(const int16_t *left, size_t stride, const int32_t *right, size_t steps, size_t block,
                                float *sums) {
    const char *rows[ROWS / 3];
    Integers total[ROWS][2];
    for (size_t i = 0; i < ROWS / 3; i++) rows[i] = (const char *)left + 3 * i * stride;
    size_t s = 0;
    do {
        const size_t begin = s, end = least(begin + block / 2, steps);
#pragma clang loop unroll(full)
        for (int i = 0; i < ROWS; i++) total[i][0] = total[i][1] = NONE();
        for (; s < end; s++, right += 2 * LANES) {
            const Integers right0 = LOAD_INTEGERS(right), right1 = LOAD_INTEGERS(right + LANES);
#pragma clang loop unroll(full)
            for (int i = 0; i < ROWS; i++) {
                const Integers pair = PAIR(rows[i / 3] + (size_t)(i % 3) * stride + 4 * s);
                total[i][0] = DOT(total[i][0], pair, right0);
                total[i][1] = DOT(total[i][1], pair, right1);
            }
        }
#pragma clang loop unroll(full)
        for (int i = 0; i < 2 * ROWS; i++) {
            const Floats sum = CONVERTED(total[i / 2][i % 2]);
            STORE(sums + LANES * i, begin ? LOAD(sums + LANES * i) + sum : sum);
        }
    } while (s < steps);
}

/* 2^x to 2e-7 for x <= 0; below 2^-126 it is 0 or next to it. */
CODE INLINE Floats NAME(exp2_negative)(Floats x) {
    x = MAXIMUM(x, ALL(-126));
    const Floats whole = WHOLE(x), part = x - whole; /* -0.5 to 0.5 */
    Floats y = ALL(1.546144746e-4f);
    y = FMADD(y, part, ALL(1.339086735e-3f));
    y = FMADD(y, part, ALL(9.618056670e-3f));
    y = FMADD(y, part, ALL(5.550357104e-2f));
    y = FMADD(y, part, ALL(2.402265092e-1f));
    y = FMADD(y, part, ALL(6.931471880e-1f));
    y = FMADD(y, part, ALL(1.0f));
    return TIMES_POWER(y, ROUNDED(whole));
}

/* x P(X <= x), as in amx.c. */
CODE INLINE Floats NAME(gelu)(Floats x) {
    const Floats size = MINIMUM(ALL(20), ABSOLUTE(x)); /* beyond, the tail is 0 */
    const Floats below = FMADD(size, ALL(0.3275911f * 0.70710678f), ALL(1));
    Floats t = NEAR_INVERSE(below);
    t = t * (ALL(2) - below * t); /* Newton */
    Floats y = ALL(1.061405429f);
    y = FMADD(y, t, ALL(-1.453152027f));
    y = FMADD(y, t, ALL(1.421413741f));
    y = FMADD(y, t, ALL(-0.284496736f));
    y = FMADD(y, t, ALL(0.254829592f));
    const Floats bell = NAME(exp2_negative)(size * size * ALL(-0.5f * 1.44269504f));
    const Floats tail = y * t * bell * ALL(0.5f); /* P(X > |x|) */
    return x * WHERE_NEGATIVE(x, tail, ALL(1) - tail);
}

/* LINEAR_ROWS rows of the result. */
CODE static void NAME(linear_rows)(void *user, size_t task) {
    LinearRun *run = user;
    const LinearTensors *given = &run->given;
    const size_t depth = run->linear->depth, columns = run->linear->columns;
    const size_t steps = (depth + 1) / 2, padded = padded_depth(depth);
    const size_t first = task * LINEAR_ROWS, rows = least(given->rows - first, LINEAR_ROWS);
    int16_t *left = allocate(LINEAR_ROWS * padded * sizeof *left);
    if (!left) {
        run->failed = 1;
        return;
    }
    float scales[LINEAR_ROWS];
    _Alignas(64) float sums[ROWS][2 * LANES];
    for (size_t r = 0; r < LINEAR_ROWS; r++)
        scales[r] = NAME(quantize)(given->x + (first + r) * depth, r < rows ? depth : 0, padded, LINEAR_BLOCK, ROW, left + r * padded);
    for (size_t panel = 0; panel < columns; panel += 2 * LANES) {
        for (size_t r = 0; r < rows; r += ROWS) {
            NAME(multiply)(left + r * padded, 2 * padded, run->linear->weight + panel * steps, steps, LINEAR_BLOCK,
                           sums[0]);
            for (size_t c = panel; c < least(panel + 2 * LANES, columns); c += LANES) {
                const Floats across = LOAD(run->linear->scales + c);
                const Floats bias = given->bias ? LOAD_SOME(given->bias + c, columns - c) : ZERO();
                for (size_t i = 0; i < least(rows - r, ROWS); i++) {
                    const size_t at = (first + r + i) * columns + c;
                    Floats y = FMADD(LOAD(sums[i] + (c - panel)), across * ALL(scales[r + i]), bias);
                    if (run->linear->gelu) y = NAME(gelu)(y);
                    if (given->residual) y = y + LOAD_SOME(given->residual + at, columns - c);
                    STORE_SOME(given->y + at, y, columns - c);
                }
            }
        }
    }
    release(left);
}

/* Keys (even tasks) or values (odd ones) of one head as right operands, and the scales of their columns. */
CODE static void NAME(pack_head)(void *user, size_t task) {
    AttentionRun *run = user;
    const size_t head = task / 2, tokens = run->given.tokens, width = padded_depth(tokens), stride = 3 * run->heads * HEAD;
    const float *q = run->given.qkv + head / run->heads * tokens * stride + head % run->heads * HEAD;
    const float *k = q + run->heads * HEAD, *v = k + run->heads * HEAD;
    if (task % 2 == 0) {
        int32_t *out = run->keys + head * width * (HEAD / 2);
        float *scales = run->key_scales + head * width, sound = 0;
        for (size_t t = 0; t < width; t++) {
            _Alignas(64) union {
                int16_t values[HEAD];
                int32_t pairs[HEAD / 2];
            } key;
            const float scale = NAME(quantize)(k + t * stride, t < tokens ? HEAD : 0, HEAD, HEAD, EVEN, key.values);
            int32_t *to = out + t / NAME(PANEL) * NAME(PANEL) * (HEAD / 2) + t % NAME(PANEL);
            for (size_t p = 0; p < HEAD / 2; p++) to[p * NAME(PANEL)] = key.pairs[p];
            scales[t] = scale * 0.125f * 1.44269504f; /* 1 / sqrt(HEAD), and to powers of 2 */
            sound += 0 * scale;
        }
        run->sound[2 * head] = sound;
        return;
    }
    int32_t *out = run->values + head * width * (HEAD / 2);
    const size_t steps = (tokens + 1) / 2;
    float sound = 0;
    for (size_t c = 0; c < HEAD; c += LANES) {
        Floats highest = ZERO(), longest = ZERO(), sum = ZERO();
        for (size_t t = 0; t < tokens; t++) highest = MAXIMUM(highest, ABSOLUTE(LOAD_SOME(v + t * stride + c, LANES)));
        float most[LANES], scale[LANES], norm[LANES], all[LANES];
        STORE_SOME(most, highest, LANES);
        for (int i = 0; i < LANES; i++) scale[i] = most[i] > 1e-30f ? 1 / most[i] : 0;
        const Floats shrunk = LOAD_SOME(scale, LANES);
        for (size_t begin = 0; begin < tokens; begin += TOKEN_BLOCK) {
            Floats squares = ZERO();
            for (size_t t = begin; t < least(begin + TOKEN_BLOCK, tokens); t++) {
                const Floats y = LOAD_SOME(v + t * stride + c, LANES) * shrunk;
                squares = FMADD(y, y, squares);
            }
            longest = MAXIMUM(longest, squares);
            sum = sum + squares;
        }
        STORE_SOME(norm, longest, LANES);
        STORE_SOME(all, sum, LANES);
        for (int i = 0; i < LANES; i++) {
            const float largest = largest_integer(sqrtf(norm[i]), TOKEN_BLOCK, EVEN);
            sound += 0 * all[i];
            scale[i] = all[i] < INFINITY ? scale[i] * largest : 0;
            run->value_scales[head * HEAD + c + (size_t)i] = most[i] / largest;
        }
        const Floats scales = LOAD_SOME(scale, LANES);
        int32_t *to = out + c / NAME(PANEL) * NAME(PANEL) * steps + c % NAME(PANEL);
        for (size_t t = 0; t < tokens; t += 2, to += NAME(PANEL)) {
            const Floats a = LOAD_SOME(v + t * stride + c, LANES) * scales;
            const Floats b = t + 1 < tokens ? LOAD_SOME(v + (t + 1) * stride + c, LANES) * scales : ZERO();
            STORE_PAIRS(to, ROUNDED(a), ROUNDED(b));
        }
    }
    run->sound[2 * head + 1] = sound;
}

/* A row of scores -> weights as integers; returns what these times the values' integers have to be multiplied by. */
CODE INLINE float NAME(softmax)(float *scores, size_t tokens, float scale, int16_t *out) {
    Floats most = ALL(scores[0]), sum = ZERO();
    size_t t = 0;
    for (; t + LANES <= tokens; t += LANES) most = MAXIMUM(most, LOAD(scores + t));
    float shift = HIGHEST(most);
    for (; t < tokens; t++) shift = scores[t] > shift ? scores[t] : shift;
    float longest = 0;
    for (size_t begin = 0; begin < tokens; begin += TOKEN_BLOCK) {
        Floats squares = ZERO();
        for (t = begin; t < least(begin + TOKEN_BLOCK, tokens); t += LANES) {
            Floats y = NAME(exp2_negative)((LOAD(scores + t) - ALL(shift)) * ALL(scale));
            y = FIRST(y, tokens - t);
            sum = sum + y;
            squares = FMADD(y, y, squares);
            STORE(scores + t, y);
        }
        const float length = SUM(squares);
        longest = length > longest ? length : longest;
    }
    const float largest = largest_integer(sqrtf(longest), TOKEN_BLOCK, EVEN);
    for (t = 0; t < tokens; t += LANES) STORE_16(out + t, ROUNDED(LOAD(scores + t) * ALL(largest)));
    return 1 / (largest * SUM(sum));
}

/* QUERY_ROWS queries of one head, ROWS at a time against all keys: scores and weights stay in the second cache. */
CODE static void NAME(attend)(void *user, size_t task) {
    AttentionRun *run = user;
    const size_t tokens = run->given.tokens, width = padded_depth(tokens), steps = (tokens + 1) / 2;
    const size_t blocks = (tokens + QUERY_ROWS - 1) / QUERY_ROWS, stride = 3 * run->heads * HEAD;
    const size_t head = task / blocks, image = head / run->heads, column = head % run->heads * HEAD;
    const size_t begin = task % blocks * QUERY_ROWS, end = least(begin + QUERY_ROWS, tokens);
    const float *key_scales = run->key_scales + head * width, *value_scales = run->value_scales + head * HEAD;
    const float sound = run->sound[2 * head] + run->sound[2 * head + 1];
    float *scores = allocate(ROWS * width * (sizeof(float) + sizeof(int16_t)));
    if (!scores) {
        run->failed = 1;
        return;
    }
    int16_t *weights = (int16_t *)(scores + ROWS * width);
    memset(weights, 0, ROWS * width * sizeof *weights);
    _Alignas(64) int16_t queries[ROWS][HEAD];
    _Alignas(64) float sums[ROWS][2 * LANES];
    float scales[ROWS];
    for (size_t first = begin; first < end; first += ROWS) {
        const size_t rows = least(end - first, ROWS);
        const float *q = run->given.qkv + (image * tokens + first) * stride + column;
        for (size_t r = 0; r < ROWS; r++)
            scales[r] = NAME(quantize)(q + r * stride, r < rows ? HEAD : 0, HEAD, HEAD, EVEN, queries[r]);
        for (size_t t = 0; t < tokens; t += 2 * LANES) {
            NAME(multiply)(queries[0], sizeof queries[0], run->keys + (head * width + t) * (HEAD / 2), HEAD / 2, HEAD,
                           sums[0]);
            const Floats scales0 = LOAD(key_scales + t), scales1 = LOAD(key_scales + t + LANES);
            for (size_t r = 0; r < rows; r++) {
                STORE(scores + r * width + t, LOAD(sums[r]) * scales0);
                STORE(scores + r * width + t + LANES, LOAD(sums[r] + LANES) * scales1);
            }
        }
        for (size_t r = 0; r < rows; r++) {
            const float finite = scales[r] < INFINITY ? scales[r] : 0;
            const float share = NAME(softmax)(scores + r * width, tokens, finite, weights + r * width);
            scales[r] = share + 0 * scales[r] + sound; /* nan stays nan */
        }
        for (size_t c = 0; c < HEAD; c += 2 * LANES) {
            const int32_t *right = run->values + head * width * (HEAD / 2) + c * steps;
            NAME(multiply)(weights, width * sizeof *weights, right, steps, TOKEN_BLOCK, sums[0]);
            for (size_t r = 0; r < rows; r++) {
                float *y = run->given.y + (image * tokens + first + r) * run->heads * HEAD + column + c;
                const Floats share = ALL(scales[r]);
                STORE_SOME(y, LOAD(sums[r]) * LOAD(value_scales + c) * share, LANES);
                STORE_SOME(y + LANES, LOAD(sums[r] + LANES) * LOAD(value_scales + c + LANES) * share, LANES);
            }
        }
    }
    release(scores);
}
