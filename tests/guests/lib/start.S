# Multiboot 1 header and entry of every guest: protected mode, no paging, interrupts off for good (they poll).
    .section .multiboot, "a"
    .balign 4
    .long 0x1badb002
    .long 3
    .long -(0x1badb002 + 3)

    .text
    .globl _start
_start:
    cli
    cld
    movl $stack_top, %esp
    xorl %ebp, %ebp
    pushl %ebx
    pushl %eax
    call guest_main
1:  hlt
    jmp 1b

    .bss
    .balign 16
    .skip 65536
stack_top:

    .section .note.GNU-stack, "", @progbits
