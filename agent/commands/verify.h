/*
 * verify: what a configuration must hold beside what config_load sees of it: that the modules take
 * their settings (fields that may be renamed, patterns that compile). Any thread.
 */
#ifndef BARGE_VERIFY_H
#define BARGE_VERIFY_H

#include "agent/config/config.h"

/* Whether the modules take c. problems, set anew, says what they have against it. */
bool verify_config(const struct config *c, struct config_problems *problems);

#endif
