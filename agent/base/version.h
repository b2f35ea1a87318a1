/* version: what `barge version` and /status say. */
#ifndef BARGE_VERSION_H
#define BARGE_VERSION_H

#define BARGE_VERSION "0.1.0"

#endif
