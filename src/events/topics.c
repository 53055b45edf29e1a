/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "events/topics.h"

#include <syslog.h>

#include "basic/string-util.h"

/* units/moored.catalog has a text for each MESSAGE_ID; tools/check-events compares the two, and what is
 * recorded. A number once given to a topic stays. */
static const EventTopic topics[] = {
        { "container/created", "7b3a6d57cde94760b72575605b0f8569",
          "MOORED_CONTAINER", "Container ", " was made", LOG_INFO },
        { "container/started", "27d8c353a1af4533b1f97786a705a280",
          "MOORED_CONTAINER", "Container ", " was started", LOG_INFO },
        { "container/exited", "e94d8e5622ea45b49831c702bb515621",
          "MOORED_CONTAINER", "Container ", " has ended", LOG_INFO },
        { "container/stopped", "d3b1823ead524bc0b8ec172ace09478d",
          "MOORED_CONTAINER", "Container ", " was stopped", LOG_INFO },
        { "container/removed", "3e56939ddb79427eb9583d595f846734",
          "MOORED_CONTAINER", "Container ", " was removed", LOG_INFO },
        { "container/paused", "23a9f758eb194cf0b87c843c6c03a72e",
          "MOORED_CONTAINER", "Container ", " was paused", LOG_INFO },
        { "container/resumed", "ce29649e47204dc89ab53f91f12012c7",
          "MOORED_CONTAINER", "Container ", " goes on", LOG_INFO },
        { "container/updated", "9957cfde104b478f998dadb8dbb13d59",
          "MOORED_CONTAINER", "Container ", " has other limits", LOG_INFO },
        { "container/oom", "f1fac11b22f44c74b1bf2cf97865b15f",
          "MOORED_CONTAINER", "A process of container ", " was killed for want of memory", LOG_NOTICE },
        { "container/health-changed", "8610fdbffcc24404b786c472c5f21902",
          "MOORED_CONTAINER", "Container ", " has another health", LOG_INFO },
        { "container/exec-started", "12ab86ec31f048f98c745ca5fdf4dcee",
          "MOORED_CONTAINER", "Process in container ", " was started", LOG_INFO },
        { "container/exec-exited", "c3c63f9fe7594ea9b3ea72d423a8fd90",
          "MOORED_CONTAINER", "Process in container ", " has ended", LOG_INFO },
        { "container/interface-added", "9ca8e0cbb5d44b22bbfc8b159c7e7245",
          "MOORED_CONTAINER", "Container ", " has another interface", LOG_INFO },
        { "container/interface-changed", "cb2b630dc9e04b44b21c1d859f40e059",
          "MOORED_CONTAINER", "Container ", " has a changed interface", LOG_INFO },
        { "container/interface-removed", "3e17d174df6943a0986f423a0aca05e0",
          "MOORED_CONTAINER", "Container ", " has an interface less", LOG_INFO },
        { "image/pulled", "5c183f1fcd7249d8a81bed42a1a43770",
          "MOORED_IMAGE", "Image ", " was pulled", LOG_INFO },
        { "image/tagged", "20398a4cf7a44f77a60d488558de5230",
          "MOORED_IMAGE", "Image ", " has a name", LOG_INFO },
        { "image/removed", "4a887ca3d4454458a68cb1ddc706824e",
          "MOORED_IMAGE", "Image ", " was removed", LOG_INFO },
        { "job/new", "cc8d23619e0b4c339a89334ca94f8ec2",
          "MOORED_JOB", "Job ", " begins", LOG_INFO },
        { "job/removed", "7da1f5e56a304f9cbbbfda6a1bd0689e",
          "MOORED_JOB", "Job ", " has ended", LOG_INFO },
        { "namespace/created", "030a3f18dc1b444198ef092ae2594c70",
          "MOORED_NAMESPACE", "Namespace ", " was made", LOG_INFO },
        { "namespace/removed", "4b61c0bc7a2c4bfea5d3c45c2587cfdc",
          "MOORED_NAMESPACE", "Namespace ", " was removed", LOG_INFO },
        { "network/created", "61b1c93f655641ef8b8090f7f0333a57",
          "MOORED_NETWORK", "Network ", " was made", LOG_INFO },
        { "network/removed", "f2ed944e431b43fc937f9fce1fcf633f",
          "MOORED_NETWORK", "Network ", " was removed", LOG_INFO },
        { "network/connected", "918c67002d1145f3bfb7a86f5a9b63ad",
          "MOORED_NETWORK", "Network ", " has another container", LOG_INFO },
        { "network/disconnected", "98a7e6f57192423db482871312d75228",
          "MOORED_NETWORK", "Network ", " has a container less", LOG_INFO },
        { "events/lost", "0c0fbdc700584a3cadc7d70fc73fac3b",
          NULL, "Events were lost", "", LOG_WARNING },
};

const EventTopic *event_topic_find(const char *topic) {
        for (size_t i = 0; i < ELEMENTSOF(topics); i++)
                if (streq(topics[i].topic, topic))
                        return &topics[i];
        return NULL;
}
