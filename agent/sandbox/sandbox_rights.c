#include "agent/sandbox/sandbox_internal.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(capability) (1ull << (capability))

static bool get(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

    return syscall(SYS_capget, &header, data) == 0;
}

static bool set(uint64_t permitted)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};

    for (int i = 0; i < 2; i++)
        data[i].effective = data[i].permitted = (uint32_t)(permitted >> (32 * i));
    return syscall(SYS_capset, &header, data) == 0;
}

/* What no set may ever get back; needs CAP_SETPCAP, and without it nothing could come back either.
 */
static void drop_bounds(uint64_t kept)
{
    for (unsigned c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
        if (!(kept & BIT(c)))
            prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
}

bool sandbox_rights_drop(bool keep_override, struct strbuf *text)
{
    struct __user_cap_data_struct data[2];
    uint64_t kept = BIT(CAP_DAC_READ_SEARCH) | (keep_override ? BIT(CAP_DAC_OVERRIDE) : 0);

    if (!get(data)) {
        strbuf_printf(text, "unknown: %s", strerror(errno));
        return false;
    }
    kept &= (uint64_t)data[1].permitted << 32 | data[0].permitted;
    drop_bounds(kept);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (!set(kept)) {
        strbuf_printf(text, "not dropped: %s", strerror(errno));
        return false;
    }
    strbuf_add_str(text, kept == 0 ? "none" : "");
    strbuf_add_str(text, kept & BIT(CAP_DAC_READ_SEARCH) ? "CAP_DAC_READ_SEARCH" : "");
    strbuf_add_str(text, kept & BIT(CAP_DAC_OVERRIDE) ? " CAP_DAC_OVERRIDE" : "");
    return true;
}
