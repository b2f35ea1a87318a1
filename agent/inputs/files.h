/*
 * files: the input of plain text files, one record a line or event: finds the files that fit the
 * rules, follows each through every kind of rotation (rename, copytruncate, .gz), hands records to
 * the intake. Intake thread.
 */
#ifndef BARGE_INPUT_FILES_H
#define BARGE_INPUT_FILES_H

#include "agent/config/config.h"
#include "agent/inputs/tail_turns.h"
#include "agent/loop/loop.h"
#include "agent/pipeline/intake.h"

struct files_input;

/* rules: ended by NULL; borrowed. Looks at the folders, reads positions from the intake's buffer,
 * starts to watch. NULL with *e, a text that begins with the setting's path. */
struct files_input *files_input_start(struct file_rule *const *rules, struct loop *loop,
                                      struct intake *in, struct error *e);

/* Whether the parsers of the rules can be made: 0, or -1 with *e as files_input_start has it. */
int files_input_check(struct file_rule *const *rules, struct error *e);

/* By which it is run (tail_turns.h). As long as the input. */
struct tail_turns *files_input_turns(struct files_input *d);

void files_input_stop(struct files_input *d);

/* The folder that a pattern of `paths` begins with, which has no wildcard: its length in pattern.
 */
size_t files_input_fixed(const char *pattern);

#endif
