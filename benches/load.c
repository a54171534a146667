/*
 * load.c - asks a server on 127.0.0.1 over kept-alive connections.
 *
 *   load scrape PORT PATH CLIENTS REQUESTS GAP_US
 *       CLIENTS ask all in all REQUESTS times; each waits GAP_US between an answer and its next request.
 *       Prints the last answer's length, head and all.
 *   load first PORT PATH COMMAND [ARGUMENT...]
 *       Starts COMMAND and asks as soon as it listens. Prints the microseconds from before the start until the whole
 *       answer was there. Ends COMMAND.
 *
 * Exit status: 0 if every answer was 200 and complete, 1 otherwise, 2 bad usage.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 256, HEAD = 4096 };
extern char **environ;

struct client {
    int socket;
    char head[HEAD + 1];
    long got, wanted;   /* bytes of the answer; wanted is 0 until the head is there, -1 if it comes in chunks */
    char tail[5];       /* the last bytes of an answer in chunks */
    long long next;     /* when to ask again; 0 while an answer is on its way */
};

static char request[1024], sink[1 << 20];
static long last_length;

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000LL + time.tv_nsec / 1000;
}

/* Each client has an address of its own, as there is a limit to the connections from one. */
static int dial(int port, int client) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + client)};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(s, (struct sockaddr *)&own, sizeof own) || connect(s, (struct sockaddr *)&address, sizeof address)) {
        close(s);
        return -1;
    }
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return s;
}

static void ask(struct client *client) {
    client->got = client->wanted = client->next = 0;
    if (send(client->socket, request, strlen(request), MSG_NOSIGNAL) < 0) err(1, "send");
}

/* Whether the answer is complete. One in chunks ends in an empty chunk; no line of metrics looks like that. */
static int receive(struct client *client) {
    int in_head = !client->wanted;
    char *into = in_head ? client->head + client->got : sink;
    ssize_t got = recv(client->socket, into, in_head ? HEAD - client->got : (ssize_t)sizeof sink, 0);
    if (got <= 0) errx(1, "the connection was closed after %ld bytes", client->got);
    client->got += got;
    ssize_t kept = got < (ssize_t)sizeof client->tail ? (ssize_t)sizeof client->tail - got : 0;
    memmove(client->tail, client->tail + sizeof client->tail - kept, kept);
    memcpy(client->tail + kept, into + got - (sizeof client->tail - kept), sizeof client->tail - kept);
    if (in_head) {
        client->head[client->got] = 0;
        char *end = strstr(client->head, "\r\n\r\n"), *length = strcasestr(client->head, "\r\ncontent-length:");
        if (!end) {
            if (client->got == HEAD) errx(1, "the answer's head has no end");
            return 0;
        }
        if (strncmp(client->head, "HTTP/1.1 200", 12)) errx(1, "bad answer: %.60s", client->head);
        char *chunked = strcasestr(client->head, "\r\ntransfer-encoding: chunked");
        if (chunked && chunked < end) client->wanted = -1;
        else if (length && length < end) client->wanted = end + 4 - client->head + atol(length + 17);
        else errx(1, "the answer has no length");
    }
    int complete = client->wanted < 0 ? !memcmp(client->tail, "0\r\n\r\n", 5) : client->got >= client->wanted;
    if (complete) last_length = client->got;
    return complete;
}

static void scrape(int port, int clients, long requests, long gap) {
    static struct client all[MOST];
    struct pollfd ready[MOST];
    if (clients < 1 || clients > MOST) errx(2, "1 to %d clients", MOST);
    for (int i = 0; i < clients; i++)
        if ((all[i].socket = dial(port, i)) < 0) err(1, "port %d", port);
    long asked = 0, answered = 0;
    for (int i = 0; i < clients && asked < requests; i++, asked++) ask(&all[i]);
    while (answered < requests) {
        long long wait = -1, time = now();
        for (int i = 0; i < clients; i++) {
            if (all[i].next && all[i].next <= time && asked < requests) {
                ask(&all[i]);
                asked++;
            }
            long long left = all[i].next ? all[i].next - time : -1;
            if (left > 0 && asked < requests && (wait < 0 || left < wait)) wait = left;
            ready[i] = (struct pollfd){.fd = all[i].next ? -1 : all[i].socket, .events = POLLIN};
        }
        struct timespec timeout = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
        if (ppoll(ready, clients, wait < 0 ? NULL : &timeout, NULL) < 0) err(1, "poll");
        for (int i = 0; i < clients; i++) {
            if (!ready[i].revents || !receive(&all[i])) continue;
            answered++;
            all[i].next = now() + gap;
            if (!gap && asked < requests) {
                ask(&all[i]);
                asked++;
            }
        }
    }
    printf("%ld\n", last_length);
}

static void first(int port, char **command) {
    pid_t child;
    long long begin = now();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", 1, 0);
    errno = posix_spawnp(&child, *command, &actions, NULL, command, environ);
    if (errno) err(1, "%s", *command);
    struct client client = {0};
    while ((client.socket = dial(port, 0)) < 0) {
        if (waitpid(child, NULL, WNOHANG)) errx(1, "%s ended", *command);
        if (now() - begin > 30000000) errx(1, "%s does not listen on port %d", *command, port);
        usleep(50);
    }
    ask(&client);
    while (!receive(&client)) {}
    printf("%lld\n", now() - begin);
    kill(child, SIGTERM);
    waitpid(child, NULL, 0);
}

int main(int count, char **words) {
    if (count < 5) errx(2, "usage: load scrape PORT PATH CLIENTS REQUESTS GAP_US | load first PORT PATH COMMAND...");
    int port = atoi(words[2]);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", words[3]);
    if (!strcmp(words[1], "scrape") && count == 7) scrape(port, atoi(words[4]), atol(words[5]), atol(words[6]));
    else if (!strcmp(words[1], "first")) first(port, words + 4);
    else errx(2, "neither scrape nor first");
    return 0;
}
