/*
 * config_files: the keys of the list inputs.files, and what one of its rules must have.
 */
#ifndef BARGE_CONFIG_FILES_H
#define BARGE_CONFIG_FILES_H

#include "agent/config/config_table.h"

extern const struct setting_items config_files_items;

#endif
