/*
 * vec_sse2: vectors of sixteen bytes (SSE2: every x86-64), for the modules that have their loops
 * once for each instruction set. Not for headers: names are short.
 */
#ifndef BARGE_VEC_SSE2_H
#define BARGE_VEC_SSE2_H

#include "agent/base/base.h"

#include <emmintrin.h>

#define V_BYTES 16

typedef __m128i vec;

#define VEC_BYTES(op) _mm_##op
#define VEC_BITS(op) _mm_##op##_si128
#include "parsers/vec.inc"

#endif
