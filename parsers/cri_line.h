/*
 * cri_line: one entry of a container's log as CRI runtimes (containerd, CRI-O) write it,
 * `<time> <stream> <tags> <content>`, into slices of itself. A pure function of its input; any
 * thread. Format: Kubernetes' design document on CRI logs, kubelet pkg/kubelet/kuberuntime/logs.
 */
#ifndef BARGE_CRI_LINE_H
#define BARGE_CRI_LINE_H

#include "parsers/docker_line.h"

#define CRI_TIME_TEXT_MAX 35 /* YYYY-MM-DDThh:mm:ss.nnnnnnnnn+hh:mm */

struct cri_line {
    struct bytes time; /* of the form of an RFC 3339 instant; whether there is such an instant,
                          timestamp_parse says */
    struct bytes text; /* raw bytes as the container wrote them, its line end taken off */
    uint8_t stream;    /* STREAM_STDOUT or STREAM_STDERR */
    bool partial;      /* the next entry of the stream goes on with it */
};

/* Parses an entry without its line feed. One space stands between the fields; the content may be
 * empty, and may begin with spaces. Of the tags (`:` between them) only the first counts: P is
 * partial, and as the kubelet has it anything else is full. false when it is no such entry. */
bool cri_line_parse(struct bytes line, struct cri_line *out);

#endif
