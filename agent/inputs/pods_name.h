/*
 * pods_name: what the kubelet's names say: a pod's folder, a container's log files, and the
 * workload that a pod belongs to. Sources: Kubernetes pkg/kubelet/kuberuntime/helpers.go (folders),
 * pkg/kubelet/logs/container_log_manager.go (rotation), k8s.io/apimachinery/pkg/util/rand (the
 * letters of suffixes). Any thread.
 */
#ifndef BARGE_PODS_NAME_H
#define BARGE_PODS_NAME_H

#include "agent/base/base.h"

struct pods_name {
    struct bytes namespace, pod, uid;
};

/* <namespace>_<pod>_<uid>, into slices of itself. false when it is no pod's folder. */
bool pods_name_parse(const char *folder, struct pods_name *to);

/* The workload, from the pod's own name, without what its controller puts behind: a ReplicaSet's
 * hash and five letters, a CronJob's time and five letters, a DaemonSet's or Job's five letters, a
 * StatefulSet's ordinal; a static pod's node (none: not known). Of a name that was cut at 63
 * letters, what the cut has left of the workload's. The pod's name when there is nothing of that.
 */
struct bytes pods_name_workload(const struct pods_name *pod, struct bytes node);

/* Whether one of patterns (namespace/pod, with *; ended by NULL) names this pod. */
bool pods_name_is_excluded(const struct pods_name *pod, char *const *patterns);

/* The node's name, NODE_NAME in the environment; none when it is not said. */
struct bytes pods_name_node(void);
/* Whether it is the uid of the pod that this process runs in: POD_UID in the environment. */
bool pods_name_is_own(struct bytes uid);

struct pods_log_name {
    uint64_t run;    /* restart count */
    uint64_t index;  /* 0: the live file, the higher the older */
    bool compressed; /* .gz */
};

/* <run>.log, and rotated <run>.log.YYYYMMDD-hhmmss[.gz]. Not the .tmp that becomes a .gz. */
bool pods_name_is_log(const char *name, struct pods_log_name *to);

#endif
