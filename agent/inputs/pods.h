/*
 * pods: the Kubernetes input: the logs that the kubelet's container runtime (containerd, CRI-O)
 * writes below /var/log/pods, one log a run of a container, followed through the kubelet's
 * rotation, pieces joined, records handed to the intake. What they are of stands in the path; no
 * API server is asked. A log that is a link into Docker's containers folder is left to the docker
 * input where that reads this folder, else it is read here. Intake thread.
 */
#ifndef BARGE_INPUT_PODS_H
#define BARGE_INPUT_PODS_H

#include "agent/config/config.h"
#include "agent/inputs/tail_turns.h"
#include "agent/loop/loop.h"
#include "agent/pipeline/intake.h"

struct pods_input;

/* docker: the settings of the docker input; NULL: there is none. Both are borrowed. Looks at the
 * folder, reads positions from the intake's buffer, starts to watch. A folder that is not there yet
 * is waited for. */
struct pods_input *pods_input_start(const struct kubernetes_settings *settings,
                                    const struct docker_settings *docker, struct loop *loop,
                                    struct intake *in);

/* By which it is run (tail_turns.h). As long as the input. */
struct tail_turns *pods_input_turns(struct pods_input *d);

/* The intake has other formats: those that were taken from the former ones are let go. */
void pods_input_formats_changed(struct pods_input *d);

void pods_input_stop(struct pods_input *d);

#endif
