/*
 * tail_name: what a file's name in a folder of logs says.
 */
#ifndef BARGE_TAIL_NAME_H
#define BARGE_TAIL_NAME_H

#include "agent/base/base.h"

#include <limits.h>

struct tail_name {
    char stem[NAME_MAX + 1]; /* the live file's name */
    uint64_t index;          /* 0: the live file, the higher the older */
    bool compressed;         /* .gz */
};

#endif
