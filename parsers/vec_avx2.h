/*
 * vec_avx2: vectors of thirty-two bytes (AVX2 and BMI), for the modules that have their loops once
 * for each instruction set. Not for headers: names are short. What stands from here to VEC_AVX2_END
 * is made of these instructions.
 */
#ifndef BARGE_VEC_AVX2_H
#define BARGE_VEC_AVX2_H

#include "agent/base/base.h"

#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt"))),                \
                             apply_to = function)
#define VEC_AVX2_END _Pragma("clang attribute pop")
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt")
#define VEC_AVX2_END _Pragma("GCC pop_options")
#endif

#define V_BYTES 32

typedef __m256i vec;

#define VEC_BYTES(op) _mm256_##op
#define VEC_BITS(op) _mm256_##op##_si256
#include "parsers/vec.inc"

#endif
