/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "network/network-private.h"

int network_device_remove(Network *n, Error *reterr_error) {
        Netlink *netlink;
        int r;

        if (!n->row.device)
                return 0;

        r = network_manager_netlink(n->manager, &netlink, reterr_error);
        if (r < 0)
                return r;
        r = netlink_delete_link(netlink, n->row.device);
        return r < 0 && r != -ENODEV ? error_set_errno(reterr_error, r, "The device %s cannot be removed: %m", n->row.device) : 0;
}
