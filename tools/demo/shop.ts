/**
 * A fictitious machine shop, which builds a bench-top filament winder, and a small router to cut its plates.
 */

interface ShopItem {
  part_number: string
  description: string
  item_type: 'part' | 'assembly' | 'drawing' | 'document' | 'tool' | 'consumable'
  sourcing_type: 'manufactured' | 'purchased' | null
  properties: Record<string, string | number | string[]>
}

const assembly = (part_number: string, description: string, contains: string[]): ShopItem => ({
  part_number,
  description,
  item_type: 'assembly',
  sourcing_type: 'manufactured',
  properties: { contains },
})

const made = (
  part_number: string,
  description: string,
  material: string,
  mass_g: number,
  finish = 'none',
): ShopItem => ({
  part_number,
  description,
  item_type: 'part',
  sourcing_type: 'manufactured',
  properties: { material, mass_g, finish },
})

const bought = (part_number: string, description: string, supplier: string, price_eur: number): ShopItem => ({
  part_number,
  description,
  item_type: 'part',
  sourcing_type: 'purchased',
  properties: { supplier, price_eur, stock: 40 },
})

const other = (
  item_type: 'drawing' | 'document' | 'tool' | 'consumable',
  part_number: string,
  description: string,
): ShopItem => ({ part_number, description, item_type, sourcing_type: null, properties: {} })

/** The items of the shop, which the demo imports when it starts. */
export const SHOP: ShopItem[] = [
  assembly('A01-0001', 'Filament winder FW-2, complete', ['A01-0002', 'A01-0003', 'A01-0004', 'A01-0005']),
  assembly('A01-0002', 'Winding unit', ['M01-0001', 'M01-0004', 'P01-0003', 'H01-0001']),
  assembly('A01-0003', 'Traverse, belt driven', ['F01-0001', 'F01-0002', 'M01-0002', 'P01-0001']),
  assembly('A01-0004', 'Cooling trough', ['M01-0006', 'F01-0005', 'P01-0006']),
  assembly('A01-0005', 'Control box', ['M01-0005', 'E01-0001', 'E01-0002', 'E01-0004']),
  assembly('A02-0001', 'Bench router BR-1, complete', ['A02-0002', 'A02-0003', 'M02-0001']),
  assembly('A02-0002', 'Gantry', ['M02-0002', 'M02-0003', 'P01-0002']),
  assembly('A02-0003', 'Spindle mount', ['M02-0004', 'P02-0001']),
  made('M01-0001', 'Base plate, 10 mm', 'EN AW-5083', 1840, 'anodised black'),
  made('M01-0002', 'Traverse rail, 420 mm', '1.4305', 612),
  made('M01-0003', 'Bearing block, left', 'EN AW-6082', 148, 'anodised natural'),
  made('M01-0004', 'Winding shaft, Ø12 h6 × 210', '1.2210 silver steel', 186),
  made('M01-0005', 'Control box, folded sheet', 'DC01, 1.5 mm', 905, 'powder coat RAL 7016'),
  made('M01-0006', 'Trough, welded', '1.4301, 1 mm', 740, 'pickled'),
  made('M02-0001', 'Router bed, T-slots', 'EN AW-6060', 4210),
  made('M02-0002', 'Gantry side, left', 'EN AW-5083', 980, 'anodised black'),
  made('M02-0003', 'Gantry side, right', 'EN AW-5083', 980, 'anodised black'),
  made('M02-0004', 'Spindle clamp, Ø43', 'EN AW-7075', 264),
  made('F01-0001', 'Belt clamp', 'PETG', 11),
  made('F01-0002', 'Filament guide', 'PETG', 18),
  made('F01-0003', 'Spool flange, 200 mm', 'PLA', 142),
  made('F01-0004', 'Cable chain bracket', 'PETG', 9),
  made('F01-0005', 'Nozzle holder', 'ASA', 23),
  made('F01-0006', 'Knob, 30 mm', 'PLA', 14),
  bought('P01-0001', 'Stepper motor, NEMA 17, 0.45 Nm', 'Hartmann Antriebe', 18.4),
  bought('P01-0002', 'Linear guide, 15 mm, 500 mm', 'Lindqvist', 64.9),
  bought('P01-0003', 'Deep groove ball bearing 6201-2RS', 'Kugel & Sohn', 3.2),
  bought('P01-0004', 'Timing belt GT2, 6 mm, per metre', 'Riemen Roth', 2.15),
  bought('P01-0005', 'Pulley GT2, 20 teeth, bore 5 mm', 'Riemen Roth', 4.6),
  bought('P01-0006', 'Submersible pump, 12 V', 'Aqua Werk', 11.8),
  bought('P02-0001', 'Milling spindle, 1050 W', 'Kress & Vogel', 289),
  bought('H01-0001', 'Socket head screw M5 × 16, A2', 'Schrauben Keller', 0.09),
  bought('H01-0002', 'Socket head screw M3 × 8, A2', 'Schrauben Keller', 0.05),
  bought('H01-0003', 'T-slot nut M5, slot 8', 'Schrauben Keller', 0.31),
  bought('E01-0001', 'Stepper driver, 2.8 A, silent', 'Elektro Bauer', 14.5),
  bought('E01-0002', 'Power supply, 24 V, 150 W', 'Elektro Bauer', 32),
  bought('E01-0003', 'Limit switch, roller lever', 'Elektro Bauer', 2.7),
  bought('E01-0004', 'Emergency stop, 22 mm', 'Elektro Bauer', 9.9),
  other('drawing', 'D01-0001', 'Winding unit, section A–A'),
  other('document', 'D01-0002', 'Assembly instructions FW-2'),
  other('tool', 'T01-0001', 'Drill jig for bearing blocks'),
  other('tool', 'T01-0002', 'Press-in mandrel 6201'),
  other('consumable', 'C01-0001', 'Thread locker, medium, 50 ml'),
  other('consumable', 'C01-0002', 'Grease, lithium, 400 g'),
]

/** Parts that are created while the demo runs. The category determines their numbers. */
export const NEW_PARTS: { category: string; description: string; comment: string }[] = [
  { category: 'F01', description: 'Drip tray', comment: 'Water ran into the control box at Huber’s' },
  { category: 'M01', description: 'Stiffening rib, base plate', comment: 'The plate hums at 140 rpm' },
  { category: 'F01', description: 'Cable clip, 8 mm', comment: 'Replaces the cable ties' },
  { category: 'M02', description: 'Dust shoe plate', comment: 'First draft, for the chips to go somewhere' },
  { category: 'P01', description: 'Encoder, 1000 lines', comment: 'For closed loop on the winder' },
  { category: 'H01', description: 'Washer M5, A2', comment: 'Was missing in every kit' },
  { category: 'F01', description: 'Spool adapter, 52 mm', comment: 'The new supplier’s spools are wider' },
  {
    category: 'T01',
    description: 'Gauge for belt tension',
    comment: 'So that not everybody plucks it by ear',
  },
]
