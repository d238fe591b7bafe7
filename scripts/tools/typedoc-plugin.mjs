// What the reference says of members that are the same in many classes, and where it lists the operators. The compiler
// gives a comment to one overload only, and to one of the two accessors.
import { Comment, CommentTag, Converter, ReflectionKind } from 'typedoc';

const shared = new Map([
  [
    'parameters',
    'What the class takes: each parameter with its name in configurations, its check and its default.',
  ],
  ['[dispose]', 'Calls `dispose()`; `using` does so at the end of its block.'],
  ['[iterator]', 'The entries in their order.'],
  ['event', 'What has happened.'],
  ['kernel', "The surrogate's name in the kernels."],
  ['name', 'Name of the class.'],
  ['options', 'The options with their defaults filled in.'],
  ['scale', "Values in the data's files are divided by this."],
  ['stepMode', 'The step mode that the network must have.'],
  ['timeInData', 'Whether the samples bring their time steps.'],
  ['alpha', 'Steepness, as in the options.'],
  ['k', 'As in the options.'],
  ['leak', 'As in the options.'],
  ['reduction', 'Whether the loss of a batch is its mean or its sum.'],
]);

const text = (words) => [{ kind: 'text', text: words }];

function describe(reflection) {
  if (reflection.hasComment()) return;
  const words = shared.get(reflection.name);
  if (words !== undefined) reflection.comment = new Comment(text(words));
}

function describeAll(context) {
  const { project } = context;
  for (const reflection of Object.values(project.reflections)) {
    if (reflection.kindOf(ReflectionKind.Property)) describe(reflection);
    for (const signature of [reflection.getSignature, ...(reflection.signatures ?? [])]) {
      if (signature) describe(signature);
    }
    const first = (reflection.signatures ?? []).find((signature) => signature.comment);
    for (const signature of reflection.signatures ?? []) {
      if (first && !signature.comment) signature.comment = first.comment.clone();
    }
    const { getSignature, setSignature } = reflection;
    if (getSignature?.comment && setSignature && !setSignature.comment) {
      setSignature.comment = getSignature.comment.clone();
    }
  }
  for (const reflection of project.getReflectionsByKind(ReflectionKind.Function)) {
    const file = context.getSymbolFromReflection(reflection)?.declarations?.[0]?.getSourceFile().fileName;
    if (!file?.endsWith('operators.generated.ts')) continue;
    for (const signature of reflection.signatures ?? []) {
      signature.comment?.blockTags.push(new CommentTag('@group', text('Operators')));
    }
  }
}

/** Called by typedoc. */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, describeAll);
}
