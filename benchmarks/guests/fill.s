# A Multiboot kernel (its header is put before it by bench/guests.py) that fills a Bochs display of 1024x768 with one colour after
# another, without end.
        .code32
        .equ    WIDTH, 1024
        .equ    HEIGHT, 768
        .equ    BASE, 0xe0000000
start:
        mov     $0x80000008, %ebx       # PCI configuration: bus 0, device 0, class and revision
find:
        mov     %ebx, %eax
        mov     $0xcf8, %edx
        out     %eax, %dx
        mov     $0xcfc, %edx
        in      %dx, %eax
        shr     $16, %eax
        cmp     $0x0300, %ax            # a VGA
        je      found
        add     $0x800, %ebx            # the next device
        jmp     find
found:                                  # without a firmware nobody has given it addresses
        lea     8(%ebx), %eax           # its first base address
        mov     $0xcf8, %edx
        out     %eax, %dx
        mov     $0xcfc, %edx
        mov     $BASE, %eax
        out     %eax, %dx
        lea     -4(%ebx), %eax          # its command: ports and memory
        mov     $0xcf8, %edx
        out     %eax, %dx
        mov     $0xcfc, %edx
        mov     $3, %eax
        out     %eax, %dx
        mov     $0x3da, %edx            # the attribute controller shows the picture
        in      %dx, %al
        mov     $0x3c0, %edx
        mov     $0x20, %al
        out     %al, %dx
        cld
        mov     $modes, %esi            # the registers of Bochs' display, index and value
set:
        lodsw
        mov     $0x1ce, %edx
        out     %ax, %dx
        lodsw
        inc     %edx
        out     %ax, %dx
        cmp     $end, %esi
        jne     set
        xor     %eax, %eax
fill:
        mov     $BASE, %edi
        mov     $(WIDTH * HEIGHT), %ecx
        rep stosl
        add     $0x010305, %eax
        jmp     fill
modes:
        .word   4, 0, 1, WIDTH, 2, HEIGHT, 3, 32, 4, 0x41
end:
