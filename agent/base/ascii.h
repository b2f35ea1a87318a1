/*
 * ascii: letters and digits of ASCII, whatever the locale. Any thread.
 */
#ifndef BARGE_ASCII_H
#define BARGE_ASCII_H

#include <stdbool.h>

static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool ascii_is_letter(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static inline bool ascii_is_alnum(char c)
{
    return ascii_is_digit(c) || ascii_is_letter(c);
}

static inline bool ascii_is_word(char c)
{
    return ascii_is_alnum(c) || c == '_';
}

static inline bool ascii_is_hex(char c)
{
    return ascii_is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

/* Capitals as small letters. */
static inline char ascii_fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

#endif
