# shellcheck shell=bash
#
# elf.sh - which CPU a program is for. Sourced, never run.

# Prints the CPU as `uname -m` names it, from the ELF header's class, byte order and
# machine; arm for all 32-bit ones. Fails if it is none that the agent is built for.
elf_cpu() { # FILE
    case $(od -An -tx1 -N20 "$1" | tr -d ' \n') in
        7f454c460201*b700) echo aarch64 ;;
        7f454c460101*2800) echo arm ;;
        7f454c460201*f300) echo riscv64 ;;
        7f454c460201*3e00) echo x86_64 ;;
        *) return 1 ;;
    esac
}
