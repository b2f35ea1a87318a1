/*
 * docker: the json-file input. Finds containers in Docker's containers folder by inotify (a rescan
 * is the net), follows each one's log through every kind of rotation, joins 16 KiB pieces per
 * stream, hands records to the intake. No Docker socket. Intake thread.
 */
#ifndef BARGE_INPUT_DOCKER_H
#define BARGE_INPUT_DOCKER_H

#include "agent/config/config.h"
#include "agent/inputs/docker_holder.h"
#include "agent/loop/loop.h"
#include "agent/pipeline/intake.h"

struct docker_input;

/* Looks at the folder, reads positions from the intake's buffer, starts to watch. A folder that is
 * not there yet is waited for. holder: what it opens is taken (its wake must make the loop turn);
 * borrowed until docker_input_stop; NULL: none. */
struct docker_input *docker_input_start(const struct docker_settings *s, struct loop *loop,
                                        struct intake *in, struct docker_holder *holder,
                                        struct error *e);

/* Reads for one bounded turn from files that have something unread, in fair order. true when there
 * is more to read now. Called by the agent at the end of each round of the loop, behind the
 * sockets. The agent commits afterwards. */
bool docker_input_turn(struct docker_input *d);

/* There may be room in the buffer again. While there is none, files are still opened as they
 * appear, and held when they are rotated or removed. inputs.docker.max_held counts the unread bytes
 * of those without a name any more: what still has one costs no disk that Docker would give back.
 */
void docker_input_room(struct docker_input *d);

/* Called after each successful commit and whenever the durable mark moved: files that were removed
 * and read may be closed. */
void docker_input_committed(struct docker_input *d);

/* The origin of a container by its id (64 hex digits; a unique prefix of 12 at least), NULL when it
 * is not known here. Borrowed until the next call into this module. For GELF. */
const struct origin *docker_input_origin(struct docker_input *d, struct bytes container_id);

/* The intake has other formats: those that were taken from the former ones are let go. */
void docker_input_formats_changed(struct docker_input *d);

void docker_input_stop(struct docker_input *d);

#endif
