/* json_kernel for any machine: eight bytes in a 64-bit word. */
#include "parsers/json_kernel.h"

#include "agent/base/utf8.h"

#define JSON_W 8
#define JSON_KERNEL json_kernel_swar
#define JSON_KERNEL_NAME "swar"

/* The first byte in memory is the lowest one, whatever the machine. */
typedef uint64_t vec;

#define SEVENS 0x7f7f7f7f7f7f7f7fu
#define HIGHS 0x8080808080808080u
#define EACH 0x0101010101010101u

static inline vec v_load(const char *p)
{
    uint64_t x;

    memcpy(&x, p, sizeof(x));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

static inline void v_store(char *p, vec v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, sizeof(v));
}

/* The high bit of each byte, gathered in eight bits. */
static inline uint32_t gather(uint64_t highs)
{
    return (uint32_t)(((highs & HIGHS) >> 7) * 0x0102040810204080u >> 56);
}

static inline size_t first_bit(uint32_t bits)
{
    return (size_t)(unsigned)__builtin_ctz(bits);
}

static inline vec v_zero(void)
{
    return 0;
}

static inline vec v_ones(void)
{
    return ~0ull;
}

static inline vec v_or(vec a, vec b)
{
    return a | b;
}

/* High bit of each byte that is below limit, which is at most 0x80; bytes from 0x80 on are not. */
static inline uint64_t below(vec v, unsigned limit)
{
    return ~((v & SEVENS) + (0x80 - limit) * EACH) & ~v & HIGHS;
}

/* Not the minimum, but as good: 0x1f where either is a control character, else 0x7f. */
static inline vec v_min(vec a, vec b)
{
    uint64_t low = below(a, 0x20) | below(b, 0x20);

    return SEVENS & ~(low >> 1 | low >> 2);
}

static inline uint32_t v_same(vec v, vec w)
{
    uint64_t x = v ^ w;

    return gather(~((x & SEVENS) + SEVENS) & ~x);
}

static inline uint32_t v_eq(vec v, char c)
{
    return v_same(v, (unsigned char)c * EACH);
}

static inline uint32_t v_quotes(vec v)
{
    return v_eq(v, '"');
}

static inline uint32_t v_backslashes(vec v)
{
    return v_eq(v, '\\');
}

static inline uint32_t v_stops(vec v)
{
    return v_eq(v, '"') | v_eq(v, '\\');
}

static inline uint32_t v_controls(vec v)
{
    return gather(below(v, 0x20));
}

static inline bool v_has_control(vec v)
{
    return below(v, 0x20) != 0;
}

static inline bool v_has_high(vec v)
{
    return (v & HIGHS) != 0;
}

static inline uint32_t v_highs(vec v)
{
    return gather(v);
}

static inline uint32_t v_breaks(vec v)
{
    return v_stops(v) | gather(below(v, 0x20) | (v & HIGHS));
}

static inline uint32_t v_nondigits(vec v)
{
    return gather(~(below(v, '9' + 1) & ~below(v, '0')));
}

static inline uint32_t v_key_hash(vec v, size_t k, const char *p, uint8_t *flags)
{
    uint32_t dots = v_eq(v, '.') & ((1u << k) - 1);

    if (dots)
        *flags |= JSON_KEY_DOTTED;
    return json_key_hash(bytes_of(p, k));
}

static bool kernel_usable(void)
{
    return true;
}

#include "parsers/json_kernel.inc"
